"""What an assignment solver returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

LARGEST = 1e300  # scores and prices from here on count as infinite: their sums and differences may be


@dataclass(frozen=True, slots=True)
class Matching:
    """Assignments that maximise scores of shape (..., n, m), with the proof of how good they are.

    No assignment has more than `value` + `gap`.

    Attributes:
        columns: int64 (..., n) on the CPU: the column of every row. With n > m the rows that get none hold -1.
        prices: float64 (..., m) on the CPU: dual prices of the columns, the start of the next call when scores change
            a little.
        value: float64 (...) on the CPU: sum of the scores picked.
        gap: float64 (...) on the CPU, not negative: the duality gap.
    """

    columns: Tensor
    prices: Tensor
    value: Tensor
    gap: Tensor
