"""The exact solver on shortlists: every row knows a few columns only."""

from __future__ import annotations

import numpy as np
from numba import njit

from weightspace.assignment.compiled.path import flip

CHAIN, BIDS = 8, 4  # bids of one row after another, and bids per row in all


@njit(nogil=True)
def _best_two(index: np.ndarray, value: np.ndarray, price: np.ndarray) -> tuple[float, int, float]:
    """Largest value - price of a row, its column, and the largest in any other column (-inf without one)."""
    best, second, column = -np.inf, -np.inf, -1
    for k in range(index.size):
        j = index[k]
        gain = value[k] - price[j]
        if gain > best:
            if j != column:
                second = best
            best, column = gain, j
        elif gain > second and j != column:
            second = gain
    return best, column, second


@njit(nogil=True)
def _push(keys: np.ndarray, items: np.ndarray, size: int, key: float, item: int) -> None:
    """Adds to a binary heap of the given size; the smallest key is first."""
    k = size
    while k > 0 and keys[(k - 1) // 2] > key:
        keys[k], items[k] = keys[(k - 1) // 2], items[(k - 1) // 2]
        k = (k - 1) // 2
    keys[k], items[k] = key, item


@njit(nogil=True)
def _pop(keys: np.ndarray, items: np.ndarray, size: int) -> None:
    """Removes the first of a binary heap of the given size."""
    key, item = keys[size - 1], items[size - 1]
    k = 0
    while True:
        child = 2 * k + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[k], items[k] = keys[child], items[child]
        k = child
    keys[k], items[k] = key, item


@njit(nogil=True)
def _bid(index: np.ndarray, value: np.ndarray, price: np.ndarray, column: np.ndarray, owner: np.ndarray) -> None:
    """Rows without a column bid up to their second best (see `bids.reduce_rows`), within a budget."""
    budget = BIDS * price.size
    for start in range(column.size):
        i = start
        if column[i] >= 0:
            continue
        for _ in range(CHAIN):
            best, j, second = _best_two(index[i], value[i], price)
            budget -= 1
            strictly = -np.inf < second < best
            if strictly:
                price[j] += best - second
            elif owner[j] >= 0:
                break
            out = owner[j]
            owner[j] = i
            column[i] = j
            if out < 0:
                break
            column[out] = -1
            i = out
        if budget <= 0:
            return


@njit(nogil=True)
def _augment(index: np.ndarray, value: np.ndarray, price: np.ndarray, column: np.ndarray, owner: np.ndarray) -> None:
    """Shortest augmenting paths (see `augment`) with a heap."""
    m = price.size
    distance, parent, passed = np.full(m, np.inf), np.empty(m, np.int64), np.zeros(m, np.bool_)
    keys, items = np.empty(index.size + 1), np.empty(index.size + 1, np.int64)
    seen = np.empty(m, np.int64)
    for start in range(m):
        if column[start] >= 0:
            continue
        size = touched = 0
        i = start
        offset, _, _ = _best_two(index[i], value[i], price)
        while True:
            for k in range(index.shape[1]):
                j = index[i, k]
                far = offset + (price[j] - value[i, k])
                if far < distance[j] and not passed[j]:
                    if distance[j] == np.inf:
                        seen[touched] = j
                        touched += 1
                    distance[j] = far
                    parent[j] = i
                    _push(keys, items, size, far, j)
                    size += 1
            while passed[items[0]]:
                _pop(keys, items, size)
                size -= 1
            j = items[0]
            _pop(keys, items, size)
            size -= 1
            passed[j] = True
            if owner[j] < 0:
                break
            i = owner[j]
            own = -np.inf
            for k in range(index.shape[1]):
                if index[i, k] == j:
                    own = max(own, value[i, k])
            offset = distance[j] + (own - price[j])
        least = distance[j]
        for k in range(touched):
            other = seen[k]
            if passed[other] and other != j:
                price[other] += least - distance[other]
        for k in range(touched):
            distance[seen[k]] = np.inf
            passed[seen[k]] = False
        flip(parent, column, owner, j, start)


@njit(nogil=True)
def finish_shortlist(index: np.ndarray, value: np.ndarray, price: np.ndarray, column: np.ndarray) -> None:
    """An optimal complete assignment within shortlists, from prices and columns that may be anything.

    Args:
        index: int32 (m, k): columns that a row knows, some perhaps twice; among all there is a complete assignment.
        value: float64 (m, k): their scores.
        price: float64 (m,): start and result.
        column: int64 (m,): start and result; a start may not give a column twice.
    """
    owner = np.full(price.size, -1)
    for i in range(column.size):
        best, j, _ = _best_two(index[i], value[i], price)
        own = -np.inf
        for k in range(index.shape[1]):
            if index[i, k] == column[i]:
                own = max(own, value[i, k] - price[column[i]])
        if own >= best:
            owner[column[i]] = i
        else:
            column[i] = -1
    for i in range(column.size):
        if column[i] < 0:
            _, j, _ = _best_two(index[i], value[i], price)
            if owner[j] < 0:
                owner[j] = i
                column[i] = j
    _bid(index, value, price, column, owner)
    _augment(index, value, price, column, owner)
