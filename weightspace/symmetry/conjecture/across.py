"""An index of one class and one of another that lies beside it wherever it occurs change places, or the two wholes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from random import Random

from torch import Tensor

from weightspace.symmetry.axis import all_reasons
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.conjecture.family import Conjecture, Draw
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transposition import BLOCKS, Move, Pieces, Place, axis_move


def across(spec: Spec, frozen: Mapping[str, str]) -> Iterator[Conjecture]:
    """Every two classes that share their products with the same others."""
    alike: dict[object, list[Group]] = {}
    for group in spec.groups:
        alike.setdefault(_surroundings(spec, group.name), []).append(group)
    for groups in alike.values():
        for x, y in itertools.combinations(groups, 2):
            reason = all_reasons(*(frozen.get(group.name, "split") for group in (x, y)))
            yield Conjecture("across", max(x.size, y.size), reason, _exchanging(spec, x, y))


def _surroundings(spec: Spec, name: str) -> tuple[object, ...]:
    """For every axis that carries a class: what it shares its products with."""
    found = []
    for tensor, axis in spec.occurrences(name):
        for piece in axis_pieces(spec.tensors[tensor].axes[axis]):
            if name in piece.groups:
                others = [
                    "here" if group == name else (group, size)
                    for group, size in zip(piece.groups, piece.index.shape, strict=True)
                ]
                found.append((tensor, axis, tuple(others)))
    return tuple(found)


def _exchanging(spec: Spec, x: Group, y: Group) -> Draw:
    def draw(random: Random) -> Move:
        whole = x.size == y.size > 1 and random.random() < BLOCKS
        i, j = random.randrange(x.size), random.randrange(y.size)

        def exchange(pieces: Pieces, index: Tensor, _place: Place) -> None:
            mine = [(positions, groups.index(x.name)) for groups, positions in pieces if x.name in groups]
            theirs = [(positions, groups.index(y.name)) for groups, positions in pieces if y.name in groups]
            for (a, dim), (b, _) in zip(mine, theirs, strict=True):
                if not whole:
                    a, b = a.select(dim, i), b.select(dim, j)
                index[a], index[b] = b, a

        return axis_move(spec, spec.occurrences(x.name), exchange)

    return draw
