"""Several runs as one entry of a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def with_range(values: Sequence[float]) -> str | None:
    """The mean, with the range in brackets where there is one; None where there are no values."""
    if not values:
        return None
    digits = 1 if max(values) >= 10 else 3
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{fmean(values):.{digits}f} [{low}, {high}]"
