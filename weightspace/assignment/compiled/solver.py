"""The compiled solver: which of bids, auction and shortest paths, in which order, for a batch of matrices."""

from __future__ import annotations

import numpy as np
from numba import njit

from weightspace.assignment.compiled.augment import augment
from weightspace.assignment.compiled.bids import auction, reduce_rows, take_free
from weightspace.assignment.compiled.rows import best_two

SMALL = 256  # up to this size shortest paths are faster than an auction in any case
FREE_COLD = 0.6  # share of free rows above which an auction starts
FREE_WARM = 0.3, 0.12  # the same above which a warm start is given up, before its bids and after them
STEPS = np.array([0.2, 0.2 / 6, 0.2 / 36, 1e-3])  # of the auction, in units of the scale of the scores
AUCTION_BIDS = 200  # per row, before the auction gives up


@njit(nogil=True)
def survey(bits: np.ndarray, live: np.ndarray) -> int:
    """Marks the rows that hold anything but zeros; returns the largest absolute value, as bits of its float."""
    sign = np.iinfo(bits.dtype).max
    largest = bits.dtype.type(0)
    live[:] = False
    for i in range(bits.shape[0]):
        most = bits.dtype.type(0)
        for j in range(bits.shape[1]):
            most = max(most, bits[i, j] & sign)
        live[i] = most > 0
        largest = max(largest, most)
    return largest


@njit(nogil=True)
def _scale(scores: np.ndarray, live: np.ndarray) -> float:
    """How far the best score of a row lies above an average one: the unit of the auction's steps."""
    zeros = np.zeros(scores.shape[1])
    best, mean, rows = 0.0, 0.0, 0
    every = max(1, scores.shape[0] // 64)
    for i in range(0, scores.shape[0], every):
        if live[i]:
            best += best_two(scores[i], zeros)[0]
            for j in range(scores.shape[1]):
                mean += scores[i, j] / scores.shape[1]
            rows += 1
    return (best - mean) / max(rows, 1)


@njit(nogil=True)
def optimise(scores: np.ndarray, live: np.ndarray, price: np.ndarray, column: np.ndarray, warm: bool) -> None:
    """Finds an optimal assignment of one matrix and its prices.

    Args:
        scores: (n, m) with n <= m, finite.
        live: bool (m,): rows that are not all zero; rows from n on do not exist and are not live.
        price: float64 (m,): the start of a warm start; holds the prices found, the smallest zero.
        column: int64 (m,): the same for columns; rows that are not live share what is left.
        warm: Whether `price` and `column` hold a start.
    """
    m = price.size
    owner, queue = np.empty(m, np.int32), np.empty(m, np.int64)
    blank = np.zeros(m, scores.dtype)
    rows = live.sum()
    free = 0
    if warm:
        free = take_free(scores, blank, live, False, price, column, owner, queue)
        warm = free <= FREE_WARM[0] * rows
    if warm:
        free = reduce_rows(scores, blank, live, price, column, owner, queue, free, 4 * rows)
        warm = free <= FREE_WARM[1] * rows
    if not warm:
        price[:] = 0.0
        column[:] = -1
        free = take_free(scores, blank, live, False, price, column, owner, queue)
        free = reduce_rows(scores, blank, live, price, column, owner, queue, free, (4 if m <= SMALL else 2) * rows)
        if m > SMALL and free > FREE_COLD * rows:
            steps = STEPS * _scale(scores, live)
            if steps[-1] > 0:
                auction(scores, blank, live, price, column, owner, steps, AUCTION_BIDS * m)
                free = take_free(scores, blank, live, True, price, column, owner, queue)
                free = reduce_rows(scores, blank, live, price, column, owner, queue, free, 4 * m)
    augment(scores, blank, live, price, column, owner, queue, free)
    _place_the_rest(scores, blank, live, price, column, owner, queue)


@njit(nogil=True)
def _place_the_rest(
    scores: np.ndarray,
    blank: np.ndarray,
    live: np.ndarray,
    price: np.ndarray,
    column: np.ndarray,
    owner: np.ndarray,
    queue: np.ndarray,
) -> None:
    """Rows without a column, which score nothing, take the free ones: at no loss if those are the cheapest."""
    least = price.min() if price.size else 0.0
    count = j = 0
    for i in range(live.size):
        if column[i] < 0:
            while j < price.size and (owner[j] >= 0 or price[j] > least):
                j += 1
            if j < price.size:
                owner[j] = i
                column[i] = j
            else:
                queue[count] = i
                count += 1
    augment(scores, blank, live, price, column, owner, queue, count)
    if price.size:
        price -= price.min()


@njit(nogil=True)
def measure(scores: np.ndarray, price: np.ndarray, column: np.ndarray) -> tuple[float, float]:
    """(value, gap) of an assignment with prices, the smallest of which is zero: one pass over the scores."""
    value = gap = 0.0
    for i in range(price.size):
        j = int(column[i])
        if i < scores.shape[0]:
            best, _, _ = best_two(scores[i], price)
            value += scores[i, j]
            gap += best - (scores[i, j] - price[j])
        else:
            gap += price[j]
    return value, gap
