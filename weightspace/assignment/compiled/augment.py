"""Shortest augmenting paths: the exact finish."""

from __future__ import annotations

import numpy as np
from numba import njit

from weightspace.assignment.compiled.path import flip
from weightspace.assignment.compiled.rows import best_two, find, relax


@njit(nogil=True)
def augment(
    scores: np.ndarray,
    blank: np.ndarray,
    live: np.ndarray,
    price: np.ndarray,
    column: np.ndarray,
    owner: np.ndarray,
    queue: np.ndarray,
    count: int,
) -> None:
    """Gives the `count` rows of `queue` columns along shortest paths (Jonker and Volgenant 1987; Crouse 2016).

    Dijkstra's method over columns from one free row; the length of an edge is what its row loses against the column
    that it likes best. Prices of the columns passed rise so that every row stays content.
    """
    m = price.size
    distance, open_price = np.empty(m), np.empty(m)
    parent = np.empty(m, np.int32)
    passed, at = np.empty(m, np.int64), np.empty(m)
    for k in range(count):
        start = queue[k]
        # Element by element: numba compiles the check of an array's shape, with its message, for ten seconds.
        for j in range(m):
            distance[j] = np.inf
            open_price[j] = price[j]
        number = 0
        i = start
        row = scores[i] if live[i] else blank
        offset, _, _ = best_two(row, price)
        while True:
            least = relax(row, open_price, distance, parent, offset, i)
            j = find(distance, owner, least)
            if owner[j] < 0:
                break
            passed[number] = j
            at[number] = least
            number += 1
            # Infinity keeps a column that was passed out of every later minimum.
            distance[j] = np.inf
            open_price[j] = np.inf
            i = owner[j]
            row = scores[i] if live[i] else blank
            offset = least + (row[j] - price[j])
        for step in range(number):
            price[passed[step]] += least - at[step]
        flip(parent, column, owner, j, start)
