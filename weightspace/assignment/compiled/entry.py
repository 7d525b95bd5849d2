"""The functions that Python calls: the only ones that are cached on disk, so that compiling is paid once."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from weightspace.assignment.compiled.shortlist import finish_shortlist
from weightspace.assignment.compiled.solver import measure, optimise, survey


def _make(sources: int) -> tuple[Any, Any]:
    """The functions for a checksum of the sources: numba's cache looks at one file, but also at what closures hold."""

    def optimise_all(
        scores: np.ndarray,
        bits: np.ndarray,
        price: np.ndarray,
        column: np.ndarray,
        value: np.ndarray,
        gap: np.ndarray,
        warm: bool,
        limit: int,
    ) -> bool:
        """A batch: scores (b, n, m), the same memory as integers, prices and columns (b, m), values and gaps (b,).

        Returns False if a score is not finite: its bits reach `limit`.
        """
        _ = sources
        live = np.empty(price.shape[1], np.bool_)
        for k in range(scores.shape[0]):
            if survey(bits[k], live) >= limit:
                return False
            optimise(scores[k], live, price[k], column[k], warm)
            value[k], gap[k] = measure(scores[k], price[k], column[k])
        return True

    def finish(index: np.ndarray, value: np.ndarray, price: np.ndarray, column: np.ndarray) -> None:
        """See `finish_shortlist`."""
        _ = sources
        finish_shortlist(index, value, price, column)

    return _compiled(optimise_all), _compiled(finish)


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither beside the package nor in the user's folder may a cache be written
        return njit(nogil=True)(function)


_files = sorted(Path(__file__).parent.glob("*.py"))
optimise_all, finish = _make(zlib.crc32(b"".join(file.read_bytes() for file in _files)))
