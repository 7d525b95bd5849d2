"""The action of a group element on one tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.symmetry.block import Block, Dim
from weightspace.symmetry.element import Element


def act(blocks: tuple[Block, ...], element: Element, tensor: Tensor) -> Tensor:
    """Applies a group element to a tensor that the blocks cover.

    The same permutation acts on weights, gradients, task vectors and optimiser moments: permutation matrices are
    orthogonal, so the contragredient action equals the action itself.

    Args:
        blocks: All blocks of the tensor.
        element: The group element.
        tensor: Any dtype and device.

    Returns:
        A new tensor, or the same object where the element does not move it.
    """
    touched = [block for block in blocks if any(element.perms.get(group) is not None for group in block.groups)]
    if not touched:
        return tensor
    if all(_same_axis(block) for block in blocks):
        for axis in range(tensor.dim()):
            index = _axis_index(blocks, axis, element, tensor.shape[axis])
            if index is not None:
                tensor = tensor.index_select(axis, index.to(tensor.device))
        return tensor
    result = tensor.clone()
    for block in touched:
        block.write(result, act_on_block(block, element, block.read(tensor)))
    return result


def axis_moves(blocks: tuple[Block, ...], element: Element) -> tuple[Tensor | None, ...] | None:
    """The group element as one permutation per axis of a tensor.

    Args:
        blocks: All blocks of the tensor.
        element: The group element.

    Returns:
        For each axis int64 of its size, the old position for every new one, or None where it stays; None in place of
        all where what happens along one axis depends on the position on another.
    """
    if not all(_same_axis(block) for block in blocks):
        return None
    sizes = [
        sum({id(block.pieces[axis]): block.pieces[axis].index.numel() for block in blocks}.values())
        for axis in range(len(blocks[0].pieces) if blocks else 0)
    ]
    return tuple(_axis_index(blocks, axis, element, size) for axis, size in enumerate(sizes))


def act_on_block(block: Block, element: Element, values: Tensor) -> Tensor:
    """Applies a group element to the values of one block, of shape ``block.shape``."""
    moving = [place for place, dim in enumerate(block.dims) if dim.group in element.perms]
    if all(not block.dims[place].outer for place in moving):
        for place in moving:
            perm = element.perms[block.dims[place].group or ""]
            values = values.index_select(place, perm.to(values.device))
        return values
    return values[tuple(index.to(values.device) for index in _old_indices(block.dims, element))]


def _old_indices(dims: tuple[Dim, ...], element: Element) -> tuple[Tensor, ...]:
    """For every dimension the old index, broadcastable over the dimensions: new[i...] = old[result...]."""
    grid = [
        torch.arange(dim.size).reshape([-1 if i == position else 1 for i in range(len(dims))])
        for position, dim in enumerate(dims)
    ]
    old = []
    for position, dim in enumerate(dims):
        if dim.group is None or dim.group not in element.perms:
            old.append(grid[position])
        else:
            old.append(element.perms[dim.group][(*(grid[outer] for outer in dim.outer), grid[position])])
    return tuple(old)


def _axis_dims(block: Block, axis: int) -> tuple[int, int]:
    """Range of block dimensions that belong to an axis of the tensor."""
    start = sum(len(piece.groups) for piece in block.pieces[:axis])
    return start, start + len(block.pieces[axis].groups)


def _same_axis(block: Block) -> bool:
    """Whether every inner dimension has its outer dimensions on its own axis."""
    for axis in range(len(block.pieces)):
        start, stop = _axis_dims(block, axis)
        if any(not start <= outer < stop for dim in block.dims[start:stop] for outer in dim.outer):
            return False
    return True


def _axis_index(blocks: tuple[Block, ...], axis: int, element: Element, size: int) -> Tensor | None:
    """Old position on an axis for every new position, or None where the axis does not move."""
    index = torch.arange(size)
    seen: set[int] = set()
    moved = False
    for block in blocks:
        piece = block.pieces[axis]
        if id(piece) in seen or not any(group in element.perms for group in piece.groups):
            continue
        seen.add(id(piece))
        start, stop = _axis_dims(block, axis)
        local = tuple(
            Dim(dim.group, dim.size, tuple(outer - start for outer in dim.outer)) for dim in block.dims[start:stop]
        )
        index[piece.index] = piece.index[_old_indices(local, element)]
        moved = True
    return index if moved else None
