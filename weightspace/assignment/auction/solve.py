"""The solver on the device of the scores: auction, shortlist, exact finish, certificate, until the gap is closed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weightspace.assignment.auction.prices import auction_prices
from weightspace.assignment.compiled.entry import finish
from weightspace.assignment.duality import assigned_score, certificate
from weightspace.assignment.matching import Matching

SHORTLIST = 64  # columns per row that the CPU sees at first
MORE = 16  # and for every row that turns out to like another one better, each time
ROUNDS = 50
GAP = 1e-9  # relative, as in `solve`
BLOCK = 2**26  # scores looked at together


def solve_auction(scores: Tensor, start: tuple[Tensor, Tensor] | None) -> Matching:
    """Solves matrices where they are; only a shortlist of each row goes to the CPU.

    Columns outside of the shortlist can be better at the prices that solve it. The certificate finds the rows for which
    they are; these get more columns, and the solution goes on from where it is.

    Args:
        scores: (..., n, m) with n <= m, any floating dtype and device, finite.
        start: columns int64 (..., n) and prices float64 (..., m) to start from: then there is no auction.

    Returns:
        The matching. Its gap is at most 1e-9 relative unless 50 rounds did not close it; the gap says so.
    """
    *batch, n, m = scores.shape
    columns, prices = torch.empty(*batch, n, dtype=torch.int64), torch.zeros(*batch, m, dtype=torch.float64)
    if scores.numel():
        flat = scores.detach().reshape(-1, n, m)
        if start is None:
            near, first = auction_prices(flat)
        else:
            first, near = start[0].reshape(-1, n), start[1].reshape(-1, m)
        found = [_one(*each) for each in zip(flat, near.cpu(), first.cpu(), strict=True)]
        columns = torch.stack([each[0] for each in found]).reshape(columns.shape)
        prices = torch.stack([each[1] for each in found]).reshape(prices.shape)
    return Matching(columns, prices, assigned_score(scores, columns).cpu(), certificate(scores, columns, prices))


def _one(scores: Tensor, prices: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (n,) and prices (m,) on the CPU from an auction's."""
    n, m = scores.shape
    price = prices.double().numpy().copy()
    column = _completed(columns, m)
    index, value = _shortlist(scores, price, column)
    unit = m * torch.finfo(torch.float32).eps * float(scores.abs().max())
    for _ in range(ROUNDS):
        finish(index, value, price, column)
        price -= price.min()
        own = torch.from_numpy(column)
        rows, gap = _discontent(scores, torch.from_numpy(price), own)
        if gap <= GAP * max(unit, abs(float(assigned_score(scores, own[:n])))) / 2:
            break
        index, value = _longer(scores, price, index, value, rows)
    return torch.from_numpy(column[:n]), torch.from_numpy(price)


def _completed(columns: Tensor, m: int) -> np.ndarray:
    """Columns of m rows, int64: rows without one, and rows beyond the scores, share what is left."""
    full = np.full(m, -1)
    full[: columns.numel()] = columns.numpy()
    some, first = np.unique(full, return_index=True)
    first = first[some >= 0]
    kept = full[first]
    full[:] = -1
    full[first] = kept
    full[full < 0] = np.setdiff1d(np.arange(m), kept)
    return full


def _shortlist(scores: Tensor, price: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best columns of m rows, int32 (m, k), and their scores, float64; the first of a row is the one it has.

    With that one there is always a complete assignment. Rows that score nothing, or do not exist, all like the same
    cheap columns: each knows others of them, so that they do not outbid each other for a few.
    """
    n, m = scores.shape
    width = min(SHORTLIST, m)
    best = torch.empty(m, width, dtype=torch.int64)
    best[:n] = _best_columns(scores, torch.from_numpy(price), torch.arange(n), width)
    idle = torch.cat([(scores == 0).all(1).cpu(), torch.ones(m - n, dtype=torch.bool)]).nonzero()
    cheap = torch.from_numpy(np.argsort(price))[: len(idle) + width]
    best[idle[:, 0]] = cheap[(torch.arange(len(idle)).unsqueeze(1) + torch.arange(width)) % len(cheap)]
    index = torch.cat([torch.from_numpy(column).unsqueeze(1), best], 1)
    return index.int().numpy(), _values(scores, torch.arange(m), index)


def _longer(
    scores: Tensor, price: np.ndarray, index: np.ndarray, value: np.ndarray, rows: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """The shortlist with what some rows like best now; the others repeat a column they have."""
    n, m = scores.shape
    added = torch.from_numpy(index[:, :1].astype(np.int64)).repeat(1, min(MORE, m))
    within = rows < n
    added[rows[within]] = _best_columns(scores, torch.from_numpy(price), rows[within], min(MORE, m))
    added[rows[~within]] = torch.from_numpy(np.argsort(price)[: min(MORE, m)].copy())
    values = _values(scores, torch.arange(m), added)
    return np.hstack([index, added.int().numpy()]), np.hstack([value, values])


def _best_columns(scores: Tensor, price: Tensor, rows: Tensor, count: int) -> Tensor:
    """The columns (len(rows), count) with the largest score less price, best first, on the CPU."""
    price = price.to(scores.device)
    parts = [
        (scores[part.to(scores.device)].double() - price).topk(count, 1).indices.cpu()
        for part in rows.split(max(1, BLOCK // scores.shape[1]))
    ]
    return torch.cat(parts) if parts else torch.empty(0, count, dtype=torch.int64)


def _values(scores: Tensor, rows: Tensor, index: Tensor) -> np.ndarray:
    """Scores at columns of rows, float64 on the CPU; rows beyond the scores have zeros."""
    n = scores.shape[0]
    inside = scores.gather(1, index[:n].to(scores.device)).double().cpu()
    return torch.cat([inside, torch.zeros(len(rows) - n, index.shape[1], dtype=torch.float64)]).numpy()


def _discontent(scores: Tensor, price: Tensor, column: Tensor) -> tuple[Tensor, float]:
    """The rows that like another column better than their own, and the duality gap, in one pass."""
    n, m = scores.shape
    there = price.to(scores.device)
    best = torch.cat([(part.double() - there).amax(1) for part in scores.split(max(1, BLOCK // m))]).cpu()
    own = scores.gather(1, column[:n].unsqueeze(1).to(scores.device)).squeeze(1).double().cpu() - price[column[:n]]
    excess = torch.cat([best - own, price[column[n:]] - price.min()])
    return (excess > 0).nonzero().squeeze(1), float(excess.sum())
