"""The interface of linear assignment: shapes, checks, and which solver answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weightspace.assignment.backends import choose
from weightspace.assignment.duality import assigned_score, certificate
from weightspace.assignment.exact import solve_with_scipy
from weightspace.assignment.matching import Matching
from weightspace.errors import AlignmentError


def solve(scores: Tensor, *, warm: Matching | None = None, backend: str = "auto") -> Matching:
    """Finds the assignments that maximise the sum of the scores they pick, each with the proof of its optimality.

    Args:
        scores: (..., n, m), any dtype of real numbers and any device. ``scores[..., i, j]`` is the gain of giving
            column j to row i. With n < m every row gets a column; with n > m every column goes to a row.
        warm: The matching of scores of the same shape that differ little: the search starts from it.
        backend: "numba" (compiled, needs the extra `fast`), "scipy", or "auto": the fastest that is installed.

    Returns:
        The optimal matching. Its gap is zero but for rounding: at most 1e-9 of max(|value|, n * 1.2e-7 * max|scores|).

    Raises:
        AlignmentError: If the scores are not matrices or hold NaN or infinity, `warm` has another shape, or the
            backend is not known or not installed.
    """
    if scores.dim() < 2:
        raise AlignmentError(f"assignment: expected score matrices, found shape {tuple(scores.shape)}")
    if not scores.is_floating_point():
        scores = scores.double()
    batch, n, m = scores.shape[:-2], scores.shape[-2], scores.shape[-1]
    flat = scores if scores.dim() == 3 else scores.reshape(math.prod(batch), n, m)
    start = None if warm is None else _start(flat, warm, batch)
    chosen = choose(backend)
    if n > m:
        columns, prices, value, gap = _transposed(flat, start, chosen)
    else:
        columns, prices, value, gap = _solved(flat, start, chosen)
    if scores.dim() == 3:
        return Matching(columns, prices, value, gap)
    return Matching(columns.reshape(*batch, n), prices.reshape(*batch, m), value.reshape(batch), gap.reshape(batch))


def assign(scores: Tensor) -> Tensor:
    """Finds the permutations that maximise the sum of the scores they pick, exactly.

    Args:
        scores: Square score matrices, shape (..., n, n), any dtype of real numbers and any device.
            ``scores[..., i, j]`` is the gain of putting unit j into slot i.

    Returns:
        int64 of shape (..., n) on the CPU: ``result[..., i]`` is the unit that goes to slot i.

    Raises:
        AlignmentError: If the matrices are not square or hold NaN or infinity.
    """
    if scores.dim() < 2 or scores.shape[-1] != scores.shape[-2]:
        raise AlignmentError(f"assignment: expected square score matrices, found shape {tuple(scores.shape)}")
    return solve(scores).columns


Start = tuple[Tensor, Tensor]
Found = tuple[Tensor, Tensor, Tensor, Tensor]


def _solved(flat: Tensor, start: Start | None, backend: str) -> Found:
    """Columns, prices, values and gaps of (b, n, m) with n <= m."""
    if backend == "numba":
        from weightspace.assignment.compiled.call import solve_compiled

        found = solve_compiled(flat, start)
        if found is None:
            raise _not_finite()
        return found
    if not bool(torch.isfinite(flat).all()):
        raise _not_finite()
    columns, prices = solve_with_scipy(flat)
    return columns, prices, assigned_score(flat, columns).cpu(), certificate(flat, columns, prices)


def _transposed(flat: Tensor, start: Start | None, backend: str) -> Found:
    """The same with n > m: rows and columns change places, and so do the two kinds of prices."""
    count, n, m = flat.shape
    turned = flat.transpose(1, 2).contiguous()
    if start is not None:
        columns, prices = start
        own = _best_less(flat, prices.to(flat.device)).clamp(min=0)
        start = _inverse(columns, m), own.cpu()
    rows, own, value, gap = _solved(turned, start, backend)
    columns = torch.full((count, n), -1).scatter(1, rows, torch.arange(m).expand(count, m))
    return columns, _best_less(turned, own.to(flat.device)).cpu(), value, gap


def _best_less(scores: Tensor, prices: Tensor) -> Tensor:
    """What the best column leaves to every row: float64 (b, n); minus infinity without columns."""
    if scores.shape[-1] == 0:
        return torch.full(scores.shape[:-1], -torch.inf, dtype=torch.float64, device=scores.device)
    return (scores.double() - prices.unsqueeze(-2)).amax(-1)


def _inverse(columns: Tensor, m: int) -> Tensor:
    """The row of every column, (b, m) from (b, n); rows without a column hold -1."""
    count, n = columns.shape
    rows = torch.zeros(count, m + 1, dtype=torch.int64)
    return rows.scatter(1, columns.where(columns >= 0, m), torch.arange(n).expand(count, n))[:, :m]


def _start(flat: Tensor, warm: Matching, batch: torch.Size) -> Start:
    count, n, m = flat.shape
    if warm.columns.shape != (*batch, n) or warm.prices.shape != (*batch, m):
        raise AlignmentError(
            f"assignment: the warm start is of {warm.columns.shape[-1]} x {warm.prices.shape[-1]} scores, "
            f"expected {n} x {m} in a batch of shape {tuple(batch)}"
        )
    return warm.columns.reshape(count, n), warm.prices.reshape(count, m)


def _not_finite() -> AlignmentError:
    return AlignmentError("assignment: the scores hold NaN or infinity; check the weights for them")
