"""Numbers per unit, laid along the dimensions of a block, and gathered from them."""

from __future__ import annotations

from torch import Tensor


def along(values: Tensor, dims: tuple[int, ...], rank: int) -> Tensor:
    """Values of shape (outer..., n), with their dimensions at the given places of a block and size 1 elsewhere.

    Args:
        values: One dimension per entry of `dims`.
        dims: Places in the block, distinct, in any order.
        rank: Number of dimensions of the block.
    """
    order = sorted(range(len(dims)), key=lambda i: dims[i])
    shape = [1] * rank
    for i in order:
        shape[dims[i]] = values.shape[i]
    return values.permute(order).reshape(shape)


def gathered(entries: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The sum over all other dimensions, with the given ones in the given order."""
    others = [dim for dim in range(entries.dim()) if dim not in dims]
    if others:
        entries = entries.sum(others)
    order = sorted(dims)
    return entries.permute([order.index(dim) for dim in dims])


def rows(entries: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The entries of every unit in a row: shape (sizes of the given dimensions..., all others flattened)."""
    front = entries.movedim(dims, tuple(range(len(dims))))
    return front.reshape(*front.shape[: len(dims)], -1)
