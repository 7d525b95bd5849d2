"""The normal form of a parameter: dense blocks, each dimension of which carries one group or none.

Alignment costs, graph edges and equivariant terms are written over blocks, once. A sum splits an axis into several
pieces and a product splits a piece into several dimensions, so a fused QKV weight of shape (3*h*d, D) becomes three
blocks with dimensions (h, d, D).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.group import Group


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension of a block.

    Attributes:
        group: Name of the group that permutes it, or None where indices stay in place.
        size: Number of indices.
        outer: For a group that depends on others: positions, in the block, of the dimensions that carry them.
    """

    group: str | None
    size: int
    outer: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of one axis: ``index[i_1, ..., i_k]`` is the position on the axis of the entry (i_1, ..., i_k)."""

    groups: tuple[str | None, ...]
    index: Tensor

    @cached_property
    def span(self) -> tuple[int, int] | None:
        """(start, length) when the piece is one stretch in order, so that it can be viewed without a copy."""
        flat = self.index.reshape(-1)
        start = int(flat[0])
        return (start, flat.numel()) if bool((flat == torch.arange(start, start + flat.numel())).all()) else None


@dataclass(frozen=True, eq=False)
class Block:
    """A dense part of a parameter: the product of one piece per axis."""

    tensor: str
    pieces: tuple[Piece, ...]
    dims: tuple[Dim, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(dim.size for dim in self.dims)

    @property
    def groups(self) -> frozenset[str]:
        """Names of the groups that act on the block."""
        return frozenset(dim.group for dim in self.dims if dim.group is not None)

    def read(self, tensor: Tensor) -> Tensor:
        """Returns the block of a tensor, of shape `shape`: a view where the pieces are stretches, else a copy."""
        for axis, piece in enumerate(self.pieces):
            if piece.span is not None:
                tensor = tensor.narrow(axis, *piece.span)
            else:
                tensor = tensor.index_select(axis, piece.index.reshape(-1).to(tensor.device))
        return tensor.reshape(self.shape)

    def write(self, tensor: Tensor, values: Tensor) -> None:
        """Writes values of shape `shape` into this block of a tensor, in place."""
        values = values.reshape([piece.index.numel() for piece in self.pieces])
        if all(piece.span is not None for piece in self.pieces):
            for axis, piece in enumerate(self.pieces):
                tensor = tensor.narrow(axis, *(piece.span or ()))
            tensor.copy_(values)
            return
        grid = [
            piece.index.reshape([-1 if i == axis else 1 for i in range(len(self.pieces))]).to(tensor.device)
            for axis, piece in enumerate(self.pieces)
        ]
        tensor[tuple(grid)] = values


def axis_pieces(axis: Axis) -> list[Piece]:
    """Splits an axis into pieces whose dimensions each carry one group or none."""
    match axis:
        case GroupAxis(group, size):
            return [Piece((group,), torch.arange(size))]
        case FixedAxis(size, _):
            return [Piece((None,), torch.arange(size))]
        case ProductAxis(factors):
            pieces = [Piece((), torch.zeros((), dtype=torch.int64))]
            for factor in factors:
                inner = axis_pieces(factor)
                pieces = [
                    Piece(
                        left.groups + right.groups,
                        left.index.reshape(*left.index.shape, *([1] * right.index.dim())) * factor.size + right.index,
                    )
                    for left in pieces
                    for right in inner
                ]
            return pieces
        case SumAxis(parts, runs):
            place = [torch.empty(part.size, dtype=torch.int64) for part in parts]
            position = 0
            for run in runs:
                place[run.part][run.start : run.start + run.length] = torch.arange(position, position + run.length)
                position += run.length
            return [
                Piece(piece.groups, where[piece.index])
                for part, where in zip(parts, place, strict=True)
                for piece in axis_pieces(part)
            ]


def tensor_blocks(name: str, axes: tuple[Axis, ...], groups: Mapping[str, Group]) -> tuple[Block, ...]:
    """Splits a parameter into its blocks.

    Raises:
        SpecError: If a block carries an inner group without, or with more than one possible, outer dimension.
    """
    blocks = []
    for pieces in itertools.product(*(axis_pieces(axis) for axis in axes)):
        if math.prod(piece.index.numel() for piece in pieces) == 0:
            continue
        labels = [(axis, group) for axis, piece in enumerate(pieces) for group in piece.groups]
        sizes = [size for piece in pieces for size in piece.index.shape]
        dims = []
        for (axis, group), size in zip(labels, sizes, strict=True):
            if group is not None and group not in groups:
                raise SpecError(f"tensor '{name}', axis {axis}: carries '{group}', which the spec does not have")
            outer = (
                ()
                if group is None
                else tuple(_outer_dim(name, labels, axis, wanted) for wanted in groups[group].depends_on)
            )
            if group is not None and groups[group].size != size:
                raise SpecError(
                    f"tensor '{name}', axis {axis}: expected size {groups[group].size} of group '{group}', found {size}"
                )
            dims.append(Dim(group, size, outer))
        blocks.append(Block(name, pieces, tuple(dims)))
    return tuple(blocks)


def _outer_dim(name: str, labels: list[tuple[int, str | None]], axis: int, wanted: str) -> int:
    """The block dimension that carries an outer group: on the same axis, else the only one elsewhere."""
    here = [i for i, (a, group) in enumerate(labels) if group == wanted and a == axis]
    found = here or [i for i, (_, group) in enumerate(labels) if group == wanted]
    if len(found) != 1:
        raise SpecError(
            f"tensor '{name}', axis {axis}: expected one dimension of outer group '{wanted}', found {len(found)}"
        )
    return found[0]
