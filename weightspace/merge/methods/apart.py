"""Small arrays that outlive large ones, out of their way."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def apart(values: NDArray[Any]) -> NDArray[Any]:
    """A copy outside of the heap, for what is kept while large pieces come and go.

    In the heap it would lie between these, and memory that they leave could be neither used again as a whole nor given
    back: some hundred megabytes after some hundred chunks.
    """
    if not values.size:
        return values.copy()
    held = np.frombuffer(mmap.mmap(-1, values.nbytes), dtype=values.dtype).reshape(values.shape)
    held[...] = values
    return held
