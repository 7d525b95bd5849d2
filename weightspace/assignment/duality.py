"""How good an assignment is: what it picks, and how much more any other could pick."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.errors import AlignmentError

BLOCK = 2**22  # scores widened to float64 at a time


def assigned_score(scores: Tensor, columns: Tensor) -> Tensor:
    """Sum of the scores that assignments pick.

    Args:
        scores: Shape (..., n, m).
        columns: int64 of shape (..., n), as `assign` and `solve` return them; -1 picks nothing.

    Returns:
        float64 of shape (...) on the device of the scores.
    """
    return _picked(scores, columns.to(scores.device)).sum(-1)


def certificate(scores: Tensor, columns: Tensor, prices: Tensor) -> Tensor:
    """Bounds by how much any assignment beats this one: the duality gap, in one pass over the scores.

    The bound of linear programming duality for any prices p: the sum over rows of their best ``score - p``, plus the
    sum of the prices. With n < m the prices are moved so that the smallest is zero, because columns may stay unused;
    with n > m rows may stay unused, so that a row counts only if its best is positive.

    Args:
        scores: Shape (..., n, m), any floating dtype and device, finite.
        columns: int64 (..., n): any assignment that uses each row (n <= m) or each column (n >= m) once; -1 for none.
        prices: (..., m): any finite prices, on any device.

    Returns:
        float64 (...) on the CPU, not negative.

    Raises:
        AlignmentError: If the shapes do not fit each other.
    """
    batch, n, m = scores.shape[:-2], scores.shape[-2], scores.shape[-1]
    if columns.shape != (*batch, n) or prices.shape != (*batch, m):
        raise AlignmentError(
            f"assignment: scores {tuple(scores.shape)} need columns {(*batch, n)} and prices {(*batch, m)}, "
            f"found {tuple(columns.shape)} and {tuple(prices.shape)}"
        )
    if n == 0 or m == 0:
        return torch.zeros(batch, dtype=torch.float64)
    prices = prices.to(scores.device, torch.float64)
    if n < m:
        prices = prices - prices.amin(-1, keepdim=True)
    best = torch.cat([(part.double() - prices.unsqueeze(-2)).amax(-1) for part in _row_blocks(scores)], -1)
    if n > m:
        best = best.clamp(min=0)
    columns = columns.to(scores.device)
    unused = torch.ones_like(prices).scatter(-1, columns.clamp(min=0), 0.0) if n < m else torch.zeros_like(prices)
    paid = prices.gather(-1, columns.clamp(min=0)).where(columns >= 0, 0.0)
    # Row by row, so that the large terms cancel before they are summed.
    gap = (best - (_picked(scores, columns) - paid)).sum(-1) + (unused * prices).sum(-1)
    return gap.clamp(min=0).cpu()


def _picked(scores: Tensor, columns: Tensor) -> Tensor:
    """The score of every row as float64 (..., n)."""
    if scores.shape[-1] == 0:
        return torch.zeros(columns.shape, dtype=torch.float64, device=scores.device)
    found = scores.gather(-1, columns.clamp(min=0).unsqueeze(-1)).squeeze(-1).double()
    return found.where(columns >= 0, 0.0)


def _row_blocks(scores: Tensor) -> tuple[Tensor, ...]:
    rows = max(1, BLOCK // max(1, scores.numel() // scores.shape[-2]))
    return scores.split(rows, -2)
