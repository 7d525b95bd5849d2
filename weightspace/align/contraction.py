"""Inner products of all pairs of indices along one dimension of two blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CHUNK = 1 << 23  # entries of a block that are taken to float32 or float64 at a time


def contract(a: Tensor, b: Tensor, outer: tuple[int, ...], place: int, weight: float, total: Tensor | None) -> Tensor:
    """Adds the inner products over all dimensions but the outer ones (kept) and one (taken from A and from B).

    Half precision is taken to float32 piece by piece, so that no whole copy of a block is made.

    Args:
        a: Values of a block.
        b: Values of the same block, of the same shape.
        outer: Dimensions that both share.
        place: The dimension of size n that is taken from both.
        weight: Factor of what is added.
        total: What to add to, in place, of the shape of the result; None for zeros.

    Returns:
        float32 of shape (outer sizes..., n, n): entry (o..., i, j) grows by weight * <a[o..., i], b[o..., j]>.
    """
    rest = [dim for dim in range(a.dim()) if dim != place and dim not in outer]
    order = [*outer, place, *rest]
    sizes = [a.shape[dim] for dim in outer]
    n = a.shape[place]
    left, right = (t.permute(order).reshape(math.prod(sizes), n, -1) for t in (a, b))
    if total is None:
        total = torch.zeros(*sizes, n, n, device=a.device)
    flat = total.view(-1, n, n)
    columns = max(1, CHUNK // (left.shape[0] * n))
    for start in range(0, left.shape[2], columns):
        x, y = (t[:, :, start : start + columns].float() for t in (left, right))
        flat.baddbmm_(x, y.transpose(1, 2), alpha=weight)
    return total


def inner_product(a: Tensor, b: Tensor) -> float:
    """Sum of the products of all entries, accumulated in float64."""
    x, y = (t.reshape(-1) for t in (a, b))
    return math.fsum(
        float(torch.dot(x[start : start + CHUNK].double(), y[start : start + CHUNK].double()))
        for start in range(0, x.numel(), CHUNK)
    )
