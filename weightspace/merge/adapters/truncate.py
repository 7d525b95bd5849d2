"""The nearest matrix of low rank, by singular values (Eckart and Young 1936)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Randomised (Halko, Martinsson and Tropp 2011) where it pays: rank 16 of 2048 x 2048 takes 0.07 s instead of 3 s, and
# what it loses is below 1% of what truncation loses anyway.
_LARGE = 512
_SHARE = 8
_MORE = 16
_PASSES = 4


@dataclass(frozen=True)
class Truncated:
    """A product near a matrix.

    Attributes:
        left: (rows, rank), columns of which carry the roots of the singular values.
        right: (rank, columns), likewise.
        error: Frobenius norm of what is lost over that of the matrix.
        most: The rank of the matrix itself, up to rounding, where it is known, else its smaller side.
    """

    left: Tensor
    right: Tensor
    error: float
    most: int


def truncated(matrix: Tensor, *, rank: int | None = None, energy: float | None = None) -> Truncated:
    """The nearest matrix of a rank, or of the least rank that keeps a share of the energy.

    Args:
        matrix: (rows, columns), float32 or float64, not zero.
        rank: Largest rank of the result.
        energy: Share of the sum of squared singular values to keep; both may be given.
    """
    least = min(matrix.shape)
    if energy is None and rank is not None and least > _LARGE and (rank + _MORE) * _SHARE <= least:
        # svd_lowrank draws from the global generator; the result is to depend on the matrix alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            u, s, v = torch.svd_lowrank(matrix, q=rank + _MORE, niter=_PASSES)
        return _cut(matrix, u, s, v.T, rank)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return _cut(matrix, u, s, vh, _needed(s, rank, energy))


def truncated_product(left: Tensor, right: Tensor, *, rank: int | None, energy: float | None) -> Truncated:
    """The same of left @ right, (rows, r) and (r, columns), exactly and without the product.

    Args:
        left: Its columns may be dependent.
        right: Likewise its rows.
        rank: As for `truncated`.
        energy: As for `truncated`.
    """
    q, r = torch.linalg.qr(left)
    p, t = torch.linalg.qr(right.T)
    core = truncated(r @ t.T, rank=rank, energy=energy)
    return Truncated(q @ core.left, core.right @ p.T, core.error, core.most)


def _needed(values: Tensor, rank: int | None, energy: float | None) -> int:
    """The rank to cut at, at least 1; never more than the matrix has."""
    most = int((values > values[0] * len(values) * torch.finfo(values.dtype).eps).sum())
    needed = most
    if energy is not None:
        squares = values.double().square()
        kept = squares.cumsum(0) / squares.sum()
        needed = int((kept < energy).sum()) + 1
    return max(1, min(needed, most, len(values) if rank is None else rank))


def _cut(matrix: Tensor, u: Tensor, s: Tensor, vh: Tensor, rank: int) -> Truncated:
    most = int((s > s[0] * len(s) * torch.finfo(s.dtype).eps).sum()) if len(s) else 0
    rank = max(1, min(rank, most))
    roots = s[:rank].sqrt()
    left, right = u[:, :rank] * roots, roots[:, None] * vh[:rank]
    error = torch.linalg.norm(matrix - left @ right) / torch.linalg.norm(matrix)
    return Truncated(left, right, float(error), most)
