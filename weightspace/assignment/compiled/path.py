"""An augmenting path, once it is found."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True)
def flip(parent: np.ndarray, column: np.ndarray, owner: np.ndarray, j: int, start: int) -> None:
    """Gives every column on a path, from the free column `j` back to the row `start`, to the row that led to it."""
    i, at = -1, j
    while i != start:
        i = parent[at]
        owner[at] = i
        at, column[i] = column[i], at
