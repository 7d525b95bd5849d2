"""The k largest of the scores of a tensor, exactly, from two passes over its chunks and without sorting it.

Nonnegative float32 numbers are ordered as their bits are. So the first pass counts the upper 16 bits of all scores,
which tells the bin that the k-th largest lies in; the second counts the lower 16 bits of those in that bin, which
tells the k-th largest itself. Both counts are kept chunk by chunk, and sparse, so that it is known in which chunk the
last of several equal scores is selected: those that come first are. Scores in float64 are ranked as float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.counts import Counts, reached, total_of
from weightspace.merge.methods.method import Measure, Measured
from weightspace.merge.methods.option import Settings

_HALF = 16
_LOWER = (1 << _HALF) - 1

Scores = Callable[[Chunk, Settings], Sequence[Tensor]]
Ranks = Callable[[Settings, int, int, int], tuple[int, ...]]


@dataclass(frozen=True)
class Threshold:
    """Which scores are among the k largest.

    Attributes:
        bits: Those of the k-th largest: all above are selected.
        chunk: Of those that equal it, all in chunks before this one are, and none in chunks after it.
        taken: How many are in this chunk, the first.
    """

    bits: int
    chunk: int
    taken: int

    def selects(self, scores: Tensor, number: int) -> Tensor:
        """Which scores of a chunk are among the largest, bool, of their shape.

        Args:
            scores: Nonnegative.
            number: Of the chunk.
        """
        bits = _bits(scores)
        selected = bits >= self.bits if number < self.chunk else bits > self.bits
        if number == self.chunk:
            selected[np.flatnonzero(bits == self.bits)[: self.taken]] = True
        return torch.from_numpy(selected).reshape(scores.shape)


class Largest:
    """Thresholds of the largest scores, as what its two measures leave: of every score those of all its ranks.

    Args:
        scores: Nonnegative scores (NaN: without a sign) of a chunk, one tensor of its shape or more.
        ranks: How many of the largest are wanted, given settings, which score, its elements, and how many are not 0
            (or denormal numbers below 1e-40).
        needed: Whether settings ask for a selection.
    """

    def __init__(self, scores: Scores, ranks: Ranks, needed: Callable[[Settings], bool]) -> None:
        self._scores, self._ranks = scores, ranks
        self.measures = (
            Measure(self._upper, self._bins, needed, _keeps),
            Measure(self._lower, self._thresholds, needed, _keeps),
        )

    def _upper(self, chunk: Chunk, settings: Settings, _: Measured) -> list[Counts]:
        return [Counts.of_many(_bits(scores) >> _HALF) for scores in self._scores(chunk, settings)]

    def _bins(self, parts: Sequence[list[Counts]], settings: Settings, _: Measured) -> list[list[_Bin]]:
        found = []
        for which, of_chunks in enumerate(zip(*parts, strict=True)):
            total = total_of(of_chunks, 1 << _HALF - 1)  # the sign is 0
            size = int(total.sum())
            ranks = self._ranks(settings, which, size, size - int(total[0]))
            found.append([_Bin(*reached(total, rank)) for rank in ranks])
        return found

    def _lower(self, chunk: Chunk, settings: Settings, measured: Measured) -> list[list[Counts]]:
        return [
            [Counts.of_few(np.compress(bits >> _HALF == each.at, bits) & _LOWER) for each in bins]
            for bits, bins in zip(map(_bits, self._scores(chunk, settings)), measured[-1], strict=True)
        ]

    def _thresholds(
        self, parts: Sequence[list[list[Counts]]], _: Settings, measured: Measured
    ) -> list[list[Threshold]]:
        found = []
        for bins, of_chunks in zip(measured[-1], zip(*parts, strict=True), strict=True):
            each = zip(bins, zip(*of_chunks, strict=True), strict=True)
            found.append([_threshold(where, counts) for where, counts in each])
        return found


def _keeps(rows: int, columns: int, models: int) -> int:
    # Numbers that span 32 octaves have 2^12 upper halves; each takes 16 bytes with its count.
    return models * 16 * min(rows * columns, 1 << 12)


def thresholds(measured: Measured, which: int) -> list[Threshold]:
    """What `Largest` found for a score, one for every rank, where its measures are the first of a method."""
    return measured[1][which]


@dataclass(frozen=True)
class _Bin:
    at: int
    wanted: int


def _bits(scores: Tensor) -> NDArray[np.int32]:
    # Comparisons are several times faster in numpy than in torch, counts the other way round.
    return scores.float().reshape(-1).view(torch.int32).numpy()


def _threshold(where: _Bin, parts: Sequence[Counts]) -> Threshold:
    low, wanted = reached(total_of(parts, 1 << _HALF), where.wanted)
    for number, part in enumerate(parts):
        equal = int(part.times[part.numbers == low].sum())
        if wanted <= equal:
            return Threshold((where.at << _HALF) | low, number, wanted)
        wanted -= equal
    raise AssertionError("a bin holds what is wanted of it")
