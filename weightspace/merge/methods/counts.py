"""How often small numbers occur in the chunks of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from weightspace.merge.methods.apart import apart


@dataclass(frozen=True)
class Counts:
    """How often numbers from 0 to 2^16 - 1 occur in a chunk: those that do, ascending, and how often."""

    numbers: NDArray[np.uint16]
    times: NDArray[np.int32]

    @classmethod
    def of_many(cls, numbers: NDArray[np.int32]) -> Counts:
        """For about as many as a chunk has."""
        counts = torch.bincount(torch.from_numpy(numbers)).numpy()
        occurring = np.flatnonzero(counts)
        return cls(apart(occurring.astype(np.uint16)), apart(counts[occurring].astype(np.int32)))

    @classmethod
    def of_few(cls, numbers: NDArray[np.int32]) -> Counts:
        """For about as many as one bin has."""
        occurring, times = np.unique(numbers.astype(np.uint16), return_counts=True)
        return cls(apart(occurring), apart(times.astype(np.int32)))


def total_of(parts: Sequence[Counts], numbers: int) -> NDArray[np.int64]:
    """How often all numbers below a bound occur together, (numbers,)."""
    total = np.zeros(numbers, dtype=np.int64)
    for part in parts:
        total[part.numbers] += part.times
    return total


def reached(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The number at a rank, from the largest down, and how many of its equals have this rank or a higher one."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, rank))
    above = int(from_top[place - 1]) if place else 0
    return len(counts) - 1 - place, rank - above
