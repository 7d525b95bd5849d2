"""Entries of a block gathered by unit."""

from __future__ import annotations

from torch import Tensor


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
