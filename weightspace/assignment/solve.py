"""The interface of linear assignment: shapes, checks, and which solver answers."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.assignment.backends import choose
from weightspace.assignment.duality import assigned_score, certificate
from weightspace.assignment.exact import solve_with_scipy
from weightspace.assignment.matching import LARGEST, Matching
from weightspace.errors import AlignmentError

Start = tuple[Tensor, Tensor]


def solve(scores: Tensor, *, warm: Matching | None = None, backend: str = "auto") -> Matching:
    """Finds the assignments that maximise the sum of the scores they pick, each with the proof of its optimality.

    Args:
        scores: (..., n, m), any dtype of real numbers and any device. ``scores[..., i, j]`` is the gain of giving
            column j to row i. With n < m every row gets a column; with n > m every column goes to a row.
        warm: The matching of scores of the same shape that differ little: the search starts from it.
        backend: "numba" (compiled, on the CPU; needs the extra `fast`), "auction" (on the device of the scores; only
            shortlists go to the CPU; needs it too), "scipy", or "auto": the fastest for these scores.

    Returns:
        The optimal matching. Its gap is zero but for rounding: at most 1e-9 of max(|value|, n * 1.2e-7 * max|scores|).
        (Only the auction may end with more, where the scores defeat it; the gap says so.)

    Raises:
        AlignmentError: If the scores are not matrices or hold NaN or infinity, `warm` has another shape or no
            valid columns and prices, or the backend is not known or not installed.
    """
    if scores.dim() < 2:
        raise AlignmentError(f"assignment: expected score matrices, found shape {tuple(scores.shape)}")
    if not scores.is_floating_point():
        scores = scores.double()
    start = None if warm is None else _start(scores, warm)
    chosen = choose(backend, scores)
    if scores.shape[-2] > scores.shape[-1]:
        return _transposed(scores, start, chosen)
    return _solved(scores, start, chosen)


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


def _solved(scores: Tensor, start: Start | None, backend: str) -> Matching:
    """With n <= m."""
    if backend == "numba":
        from weightspace.assignment.compiled.call import solve_compiled

        found = solve_compiled(scores, start)
        if found is None:
            raise _not_finite()
        return found
    if not bool((scores.abs() < LARGEST).all()):
        raise _not_finite()
    if backend == "auction":
        from weightspace.assignment.auction.solve import solve_auction

        return solve_auction(scores, start)
    columns, prices = solve_with_scipy(scores)
    return Matching(columns, prices, assigned_score(scores, columns).cpu(), certificate(scores, columns, prices))


def _transposed(scores: Tensor, start: Start | None, backend: str) -> Matching:
    """With n > m: rows and columns change places, and so do the two kinds of prices."""
    n, m = scores.shape[-2:]
    turned = scores.transpose(-1, -2).contiguous()
    if start is not None:
        columns, prices = start
        start = _inverse(columns, m), _best_less(scores, prices).clamp(min=0)
    found = _solved(turned, start, backend)
    own = torch.arange(m).expand(found.columns.shape)
    columns = torch.full((*scores.shape[:-2], n), -1).scatter(-1, found.columns, own)
    return Matching(columns, _best_less(turned, found.prices), found.value, found.gap)


def _best_less(scores: Tensor, prices: Tensor) -> Tensor:
    """What the best column leaves to every row: float64 (..., n) on the CPU; minus infinity without columns."""
    if scores.shape[-1] == 0:
        return torch.full(scores.shape[:-1], -torch.inf, dtype=torch.float64)
    return (scores.detach().double() - prices.to(scores.device).unsqueeze(-2)).amax(-1).cpu()


def _inverse(columns: Tensor, m: int) -> Tensor:
    """The row of every column, (..., m) from (..., n); columns without a row hold 0."""
    rows = torch.zeros(*columns.shape[:-1], m + 1, dtype=torch.int64)
    numbers = torch.arange(columns.shape[-1]).expand(columns.shape)
    return rows.scatter(-1, columns.where(columns >= 0, m), numbers)[..., :m]


def _start(scores: Tensor, warm: Matching) -> Start:
    *batch, n, m = scores.shape
    if warm.columns.shape != (*batch, n) or warm.prices.shape != (*batch, m):
        raise AlignmentError(
            f"assignment: the warm start is of {warm.columns.shape[-1]} x {warm.prices.shape[-1]} scores, "
            f"expected {n} x {m} in a batch of shape {tuple(batch)}"
        )
    if scores.numel() and not (
        bool(((warm.columns >= -1) & (warm.columns < m)).all()) and bool((warm.prices.abs() < LARGEST).all())
    ):
        raise AlignmentError(f"assignment: the warm start has a column beyond {m - 1} or a price that is not finite")
    return warm.columns, warm.prices


def _not_finite() -> AlignmentError:
    return AlignmentError("assignment: the scores hold NaN or infinity; check the weights for them")
