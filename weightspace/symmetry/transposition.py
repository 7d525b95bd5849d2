"""Exchanging two indices, or two blocks of them, on axes whose trees say where they lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.spec import Spec

Place = tuple[str, int]  # tensor, axis
Pieces = list[tuple[tuple[str | None, ...], Tensor]]  # of an axis: the groups of its dimensions, positions on the axis
Apply = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
BLOCKS = 0.25  # share of draws that move blocks of equal length, where the size has divisors


@dataclass(frozen=True)
class Move:
    """One transposition of indices or blocks.

    Attributes:
        places: The axes on which it acts.
        apply: The tensors of a state dict that it changes, by name, from the state dict.
        rest: The same on what carries the indices and is left out, if anything: where that does not matter, the move is
            one that the spec has.
    """

    places: tuple[Place, ...]
    apply: Apply
    rest: Apply | None = None


def transposition(size: int, random: Random) -> Tensor:
    """Two indices exchanged, far apart or near, or two blocks of equal length, as a permutation of shape (size,)."""
    perm = torch.arange(size)
    lengths = [n for n in range(2, size // 2 + 1) if size % n == 0]
    length = random.choice(lengths) if lengths and random.random() < BLOCKS else 1
    count = size // length
    i = random.randrange(count)
    apart = random.choice([1, random.randrange(1, count), count // 2])
    j = (i + apart) % count
    block = torch.arange(length)
    perm[i * length + block], perm[j * length + block] = j * length + block, i * length + block
    return perm


def group_move(spec: Spec, names: Collection[str], places: Sequence[Place], perm: Tensor) -> Move:
    """Permutes the indices of some groups of one size, on some axes."""
    return axis_move(spec, places, lambda pieces, index, place: permute(pieces, index, names, perm))


def permute(
    pieces: Pieces, index: Tensor, names: Collection[str], perm: Tensor, some: Collection[int] | None = None
) -> None:
    """Permutes groups in some pieces of an axis, in all by default: ``index`` becomes the old position of every new."""
    for number, (groups, positions) in enumerate(pieces):
        moved = positions
        for dim, group in enumerate(groups):
            if group in names and (some is None or number in some):
                moved = moved.index_select(dim, perm)
        index[positions] = moved


def axis_move(spec: Spec, places: Sequence[Place], change: Callable[[Pieces, Tensor, Place], None]) -> Move:
    """A move given by what it does to the index of every axis, which starts as the identity."""

    def apply(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved: dict[str, Tensor] = {}
        for tensor, axis in places:
            tree = spec.tensors[tensor].axes[axis]
            index = torch.arange(tree.size)
            change([(piece.groups, piece.index) for piece in axis_pieces(tree)], index, (tensor, axis))
            value = moved.get(tensor, state[tensor])
            moved[tensor] = value.index_select(axis, index.to(value.device))
        return moved

    return Move(tuple(places), apply)
