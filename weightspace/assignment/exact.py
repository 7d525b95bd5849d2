"""scipy's exact solver, and prices that prove its answer: what runs where numba is not installed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def solve_with_scipy(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Solves matrices one by one with `scipy.optimize.linear_sum_assignment` (Crouse 2016), in float64.

    Args:
        scores: (..., n, m) with n <= m, any floating dtype and device, finite.

    Returns:
        columns int64 (..., n) and prices float64 (..., m), on the CPU.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    matrices = scores.detach().to("cpu", torch.float64).numpy()
    *batch, n, m = matrices.shape
    columns, prices = np.empty((*batch, n), np.int64), np.empty((*batch, m))
    for place in np.ndindex(*batch):
        columns[place] = linear_sum_assignment(matrices[place], maximize=True)[1]
        prices[place] = prices_of(matrices[place], columns[place])
    return torch.from_numpy(columns), torch.from_numpy(prices)


def prices_of(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Prices at which every row is content with its column, given an optimal assignment.

    Longest paths by Bellman and Ford: from zero, a price rises until no row prefers the column to its own. Rows whose
    own column became dearer ask again. An optimal assignment has no gaining cycle, so this ends; rounding cannot keep
    it going, because rises within the rounding of the scores are not made and no path is longer than the number of
    rows.

    Args:
        scores: float64 (n, m) with n <= m.
        columns: int64 (n,): an optimal assignment.

    Returns:
        float64 (m,): prices, zero for columns that are not used.
    """
    n, m = scores.shape
    prices = np.zeros(m)
    if n == 0:
        return prices
    own = scores[np.arange(n), columns]
    rounding = 4 * np.finfo(np.float64).eps * np.abs(scores).max()
    asking = np.arange(n)
    for _ in range(n):
        content = own[asking] - prices[columns[asking]]
        wanted = (scores[asking] - content[:, None]).max(0)
        raised = wanted > prices + rounding
        if not raised.any():
            break
        prices[raised] = wanted[raised]
        asking = np.flatnonzero(raised[columns])
        if asking.size == 0:
            break
    return prices
