"""Pairing heads by what no map inside of them can change.

Which head of B belongs to which of A cannot be told from their inner dimensions while these have a basis of their own.
The best inner product of two heads over all orthogonal maps between them is a nuclear norm (theirs summed over the
query-key and the value-output map, which are free of each other), and the best pairing is one assignment of these.
"""

from __future__ import annotations

from collections import defaultdict

import torch

from weightspace.align.freedoms.gram import State, Weights, pairings
from weightspace.assignment import solve
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.freedom import Freedom

MOST_NUMBERS = 1 << 27  # of the products of all pairs of heads; beyond, heads stay as permutations have paired them


def outer_groups(spec: Spec) -> dict[str, list[Freedom]]:
    """Movable groups of whose indices each has an invertible map of its own, with the freedoms of these maps."""
    movable = {group.name for group in spec.groups if not group.depends_on}
    found: dict[str, list[Freedom]] = defaultdict(list)
    for freedom in spec.freedoms.only("linear").all:
        outer = spec.freedoms.group(freedom.group).depends_on
        if len(outer) == 1 and outer[0] in movable:
            found[outer[0]].append(freedom)
    return dict(found)


def paired_heads(spec: Spec, outer: str, inside: list[Freedom], a: State, b: State, weights: Weights) -> Element | None:
    """The pairing of heads that is best once the maps inside follow; None where it is too much to find out.

    Args:
        spec: The symmetry.
        outer: The group of the heads.
        inside: The freedoms of the maps inside of them.
        a: Weights of the reference.
        b: Weights of the other network.
        weights: What each block counts.
    """
    freedoms = spec.freedoms
    total = None
    for freedom in inside:
        heads, size, _ = freedoms.shape(freedom)
        if (heads * size) ** 2 > MOST_NUMBERS:
            return None
        products = pairings(freedoms, freedom, a, b, weights)
        if products is not None:
            scores = torch.linalg.matrix_norm(products, ord="nuc")
            total = scores if total is None else total + scores
    if total is None:
        return None
    return Element(spec.all_groups, {outer: solve(total).columns})
