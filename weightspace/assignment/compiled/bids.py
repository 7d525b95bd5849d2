"""Bids: rows take columns and raise their prices, at no loss (JV's row reduction) or at a small one (the auction).

Rows are numbered 0..m-1. Those that are not `live` score nothing anywhere: `blank`, one row of zeros that stays in the
cache, stands for all of them. As long as all prices of free columns are zero they can take any of those, so they wait
until the end; an auction breaks that, and after it they bid like the others (`everyone`). `column[i]` is the column of
row i and `owner[j]` the row of column j, -1 for none. Prices are such that every row that has a column is content with
it: no other is better by more than the tolerance in force.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from weightspace.assignment.compiled.rows import best_two

CHAIN = 8


@njit(nogil=True)
def take_free(
    scores: np.ndarray,
    blank: np.ndarray,
    live: np.ndarray,
    everyone: bool,
    price: np.ndarray,
    column: np.ndarray,
    owner: np.ndarray,
    queue: np.ndarray,
) -> int:
    """Keeps the columns that rows are content with and gives free ones to rows that like them best.

    Returns the number of bidding rows left without a column; they are in `queue`.
    """
    owner[:] = -1
    liked = np.empty(live.size, np.int64)
    for i in range(live.size):
        if not (live[i] or everyone):
            column[i] = -1
            continue
        row = scores[i] if live[i] else blank
        best, liked[i], _ = best_two(row, price)
        j = column[i]
        if j >= 0 and owner[j] < 0 and row[j] - price[j] >= best:
            owner[j] = i
        else:
            column[i] = -1
    count = 0
    for i in range(live.size):
        if (live[i] or everyone) and column[i] < 0:
            if owner[liked[i]] < 0:
                owner[liked[i]] = i
                column[i] = liked[i]
            else:
                queue[count] = i
                count += 1
    return count


@njit(nogil=True)
def _equal_free(row: np.ndarray, price: np.ndarray, owner: np.ndarray, best: float) -> int:
    """A free column that is as good as the best one, or -1."""
    for j in range(row.size):
        if owner[j] < 0 and row[j] - price[j] >= best:
            return j
    return -1


@njit(nogil=True)
def reduce_rows(
    scores: np.ndarray,
    blank: np.ndarray,
    live: np.ndarray,
    price: np.ndarray,
    column: np.ndarray,
    owner: np.ndarray,
    queue: np.ndarray,
    count: int,
    budget: int,
) -> int:
    """Augmenting row reduction (Jonker and Volgenant 1987): free rows bid up to their second best column.

    A row that is pushed out bids next, up to `CHAIN` times in a row: units that are almost equal would go on for long.
    A row without a strictly best column waits for the next round. Stops when a round leaves as many free rows as it
    found, or the budget of bids is spent. Returns the number of free rows.
    """
    waiting = np.empty(queue.size, queue.dtype)
    rounds = 0
    while count > 0 and budget > 0:
        left = done = 0
        while done < count and budget > 0:
            i = queue[done]
            done += 1
            for bid in range(CHAIN):
                row = scores[i] if live[i] else blank
                best, j, second = best_two(row, price)
                budget -= 1
                strictly = second < best and second > -np.inf
                if strictly:
                    price[j] += best - second
                elif owner[j] >= 0:
                    free = _equal_free(row, price, owner, best)
                    if free < 0:
                        waiting[left] = i
                        left += 1
                        break
                    j = free
                out = owner[j]
                owner[j] = i
                column[i] = j
                if out < 0:
                    break
                column[out] = -1
                if not strictly or budget <= 0 or bid == CHAIN - 1:
                    waiting[left] = out
                    left += 1
                    break
                i = out
        for k in range(done, count):
            waiting[left] = queue[k]
            left += 1
        for k in range(left):
            queue[k] = waiting[k]
        rounds += 1
        stuck = left >= count and rounds > 2
        count = left
        if stuck:
            break
    return count


@njit(nogil=True)
def auction(
    scores: np.ndarray,
    blank: np.ndarray,
    live: np.ndarray,
    price: np.ndarray,
    column: np.ndarray,
    owner: np.ndarray,
    steps: np.ndarray,
    budget: int,
) -> None:
    """Gauss-Seidel auction (Bertsekas 1988) with a falling step: every row ends content within the last of `steps`.

    Gives up when the budget of bids is spent; what it has done by then is still a valid start.
    """
    stack = np.empty(live.size, np.int64)
    for step in steps:
        owner[:] = -1
        count = 0
        for i in range(live.size - 1, -1, -1):
            j = column[i]
            if j >= 0:
                row = scores[i] if live[i] else blank
                best, _, _ = best_two(row, price)
                if owner[j] < 0 and row[j] - price[j] >= best - step:
                    owner[j] = i
                    continue
                column[i] = -1
            stack[count] = i
            count += 1
        while count > 0:
            if budget <= 0:
                return
            budget -= 1
            i = stack[count - 1]
            best, j, second = best_two(scores[i] if live[i] else blank, price)
            price[j] += best - second + step
            out = owner[j]
            owner[j] = i
            column[i] = j
            if out < 0:
                count -= 1
            else:
                column[out] = -1
                stack[count - 1] = out
