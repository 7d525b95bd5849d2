"""What the solver asks of one row of scores: its best two columns, one step of a search, what it holds."""

from __future__ import annotations

import numpy as np
from numba import njit

from weightspace.assignment.compiled.vector import FAR, STEP, prefix_best_two, prefix_find, prefix_relax


@njit(nogil=True)
def best_two(row: np.ndarray, price: np.ndarray) -> tuple[float, int, float]:
    """(largest of row - price, its first column, largest of the others); -inf for what does not exist."""
    best, column, second = prefix_best_two(row, price)
    for j in range(row.size - row.size % STEP, row.size):
        value = row[j] - price[j]
        if value > best:
            best, column, second = value, j, best
        elif value > second:
            second = value
    return best, column, second


@njit(nogil=True)
def relax(
    row: np.ndarray, price: np.ndarray, distance: np.ndarray, parent: np.ndarray, offset: float, number: int
) -> float:
    """Distance := min(distance, offset + price - row) with `parent` := number where smaller; returns the smallest."""
    least = prefix_relax(row, price, distance, parent, offset, np.int32(number))
    for j in range(row.size - row.size % STEP, row.size):
        value = offset + (price[j] - row[j])
        if value < distance[j]:
            distance[j] = value
            parent[j] = number
        least = min(least, distance[j])
    return least


@njit(nogil=True)
def find(distance: np.ndarray, owner: np.ndarray, value: float) -> int:
    """A column at exactly this distance, if possible one without an owner (owner -1)."""
    column, free = prefix_find(distance, owner, value)
    for j in range(distance.size - distance.size % STEP, distance.size):
        if distance[j] == value:
            column = min(column, j)
            if owner[j] < 0:
                free = min(free, j)
    return free if free < FAR else column
