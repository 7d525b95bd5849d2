"""Which dimensions of the blocks of a spec a freedom acts on with an odd power.

Freedoms have blocks of their own (`Freedoms.blocks`), which may be cut otherwise than those of the permutations: a head
with rotary pairs is one stretch for these and two for those. They are matched by the tensor and by the positions on its
axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block
from weightspace.symmetry.freedom.freedom import Freedom

Acting = dict[Block, tuple[int, ...]]
"""Per block, the dimensions on which a freedom acts; its power is odd there."""


def odd_places(spec: Spec, freedom: Freedom) -> Acting | None:
    """The dimensions of the spec's blocks on which a freedom acts with an odd power.

    Args:
        spec: The symmetry.
        freedom: A freedom of a group that the permutations have, too.

    Returns:
        Blocks with their dimensions; None where the freedom acts on a part of a block only, or where the units along
        its dimension are others than those of the spec's.
    """
    found: dict[tuple[Block, int], int] = {}
    for place in freedom.places:
        theirs = spec.freedoms.blocks[place.tensor][place.block]
        axis, units = units_along(theirs, place.dim)
        for block in spec.blocks[place.tensor] if place.exponent % 2 else ():
            shared = _shared(theirs, block)
            if shared == 0:
                continue
            dims = [dim for dim in _dims_of(block, axis) if block.dims[dim].group == freedom.group]
            if len(dims) != 1 or not _agree(units, units_along(block, dims[0])[1]):
                return None
            found[block, dims[0]] = found.get((block, dims[0]), 0) + shared
    if any(math.prod(block.shape) != covered for (block, _), covered in found.items()):
        return None
    acting: Acting = {}
    for block, dim in found:
        acting[block] = (*acting.get(block, ()), dim)
    return acting


def units_along(block: Block, dim: int) -> tuple[int, Tensor]:
    """The axis of a block's dimension, and which unit every position of it belongs to.

    Returns:
        The axis, and int64 of the size of its largest position and 1: an index of the dimension, -1 where the block
        does not lie.
    """
    axis = next(axis for axis in range(len(block.pieces)) if dim in _dims_of(block, axis))
    index = block.pieces[axis].index
    local = dim - _dims_of(block, axis).start
    shape = [1] * index.dim()
    shape[local] = index.shape[local]
    units = torch.full((int(index.max()) + 1,), -1)
    units[index] = torch.arange(index.shape[local]).reshape(shape).expand(index.shape)
    return axis, units


def _dims_of(block: Block, axis: int) -> range:
    """The dimensions of a block that belong to an axis of its tensor."""
    start = sum(len(piece.groups) for piece in block.pieces[:axis])
    return range(start, start + len(block.pieces[axis].groups))


def _shared(one: Block, other: Block) -> int:
    """Number of entries of a tensor that lie in both of two blocks."""
    return math.prod(_sizes(one, other))


def _sizes(one: Block, other: Block) -> Iterator[int]:
    for left, right in zip(one.pieces, other.pieces, strict=True):
        yield int(torch.isin(left.index.reshape(-1), right.index.reshape(-1)).sum())


def _agree(left: Tensor, right: Tensor) -> bool:
    """Whether two maps from positions to units say the same wherever both say something."""
    length = min(len(left), len(right))
    left, right = left[:length], right[:length]
    return bool(((left == right) | (left < 0) | (right < 0)).all())
