"""Transpositions of two indices of a free class for some indices only of a class that it shares a product with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.action import act
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.conjecture.family import Conjecture, Draw, some
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transposition import Move, Place, group_move, transposition

MOST_PARTS = 16  # a class that the network tells apart into so many at most is tried in each of its subsets


def per_outer(spec: Spec, inner: Group, frozen: Mapping[str, str]) -> Iterator[Conjecture]:
    """Free indices that share a product with others, permuted for some indices of these only."""
    places = spec.occurrences(inner.name)
    beside = {
        group
        for tensor, axis in places
        for piece in axis_pieces(spec.tensors[tensor].axes[axis])
        if inner.name in piece.groups
        for group in piece.groups
    }
    for outer in spec.groups:
        if outer.name not in beside or outer == inner or outer.name in inner.depends_on or outer.size == 1:
            continue
        depending = [
            each
            for tensor in dict.fromkeys(tensor for tensor, _ in places)
            if (each := _depending(spec, inner, outer, tensor)) is not None
        ]
        everywhere = {tensor for each in depending for tensor in each.tensors} == {tensor for tensor, _ in places}
        # Parts that the network tells apart (queries and values) may go where no index of them is left.
        if depending and (everywhere or (outer.name in frozen and outer.size <= MOST_PARTS)):
            draw = _for_some(spec, inner, outer, depending, places)
            yield Conjecture("per outer", inner.size, f"tied across {outer.name}", draw)


def _depending(spec: Spec, inner: Group, outer: Group, tensor: str) -> Spec | None:
    """One tensor with the inner permutation depending on the outer index, if that index is there exactly once."""
    groups = tuple(Group(group.name, group.size, (outer.name,) if group == inner else ()) for group in spec.all_groups)
    try:
        return Spec(groups, {tensor: spec.tensors[tensor]}, {})
    except SpecError:
        return None


def _for_some(spec: Spec, inner: Group, outer: Group, depending: Sequence[Spec], places: Sequence[Place]) -> Draw:
    with_outer = {tensor for each in depending for tensor in each.tensors}
    elsewhere = [place for place in places if place[0] not in with_outer]

    def move(perm: Tensor, indices: Sequence[int], too: Sequence[Place]) -> Move:
        perms = torch.arange(inner.size).repeat(outer.size, 1)
        perms[list(indices)] = perm
        plain = group_move(spec, {inner.name}, too, perm)

        def apply(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
            moved = plain.apply(state)
            for each in depending:
                element = Element(each.all_groups, {inner.name: perms})
                moved |= {name: act(each.blocks[name], element, state[name]) for name in each.tensors}
            return moved

        return Move(tuple(place for place in places if place not in elsewhere or place in too), apply)

    def draw(random: Random) -> Move:
        perm = transposition(inner.size, random)
        indices = random.sample(range(outer.size), random.randrange(1, outer.size) if elsewhere else 1)
        too = some(elsewhere, random)
        others = [index for index in range(outer.size) if index not in indices]
        left = [place for place in elsewhere if place not in too]
        return replace(move(perm, indices, too), rest=move(perm, others, left).apply)

    return draw
