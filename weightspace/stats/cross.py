"""How the units of two networks vary together over a stream of the same samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weightspace.stats.moments import CONSTANT

# Numbers that are converted to float64 at a time.
_CHUNK = 2**20


class CrossMoments:
    """Second moments of two streams (samples, copies, m): of each unit, and of every pair of a unit of each.

    Sums are taken in float64 about the mean of the first chunk, so that they do not cancel where means are large, and
    are normalised once, at the end, over all samples.

    Attributes:
        count: Samples so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shift: tuple[Tensor, Tensor] | None = None
        self._sums: list[Tensor] = []  # of a, of b, of their squares, of the products

    def add(self, a: Tensor, b: Tensor) -> None:
        """Adds samples, of shape (samples, copies, m) each, any floating dtype."""
        rows = max(1, _CHUNK // max(1, math.prod(a.shape[1:])))
        for left, right in zip(a.split(rows), b.split(rows), strict=True):
            x, y = left.double(), right.double()
            if self._shift is None:
                self._shift = x.mean(0), y.mean(0)
            x, y = x - self._shift[0], y - self._shift[1]
            cross = torch.bmm(x.permute(1, 2, 0), y.transpose(0, 1))
            parts = [x.sum(0), y.sum(0), x.square().sum(0), y.square().sum(0), cross]
            self._sums = [old + new for old, new in zip(self._sums, parts, strict=True)] if self._sums else parts
            self.count += len(x)

    def correlation(self) -> Tensor:
        """Pearson correlations, float64 (copies, m, m): units of a in rows, of b in columns; 0 for dead units."""
        a, b, square_a, square_b, cross = self._means()
        covariance = cross - a.unsqueeze(-1) * b.unsqueeze(-2)
        return (
            covariance
            * _inverse_deviation(a, square_a, self._shift_of(0)).unsqueeze(-1)
            * (_inverse_deviation(b, square_b, self._shift_of(1)).unsqueeze(-2))
        )

    def product(self) -> Tensor:
        """Mean products E[a b], float64 (copies, m, m)."""
        a, b, _, _, cross = self._means()
        x, y = self._shift_of(0).unsqueeze(-1), self._shift_of(1).unsqueeze(-2)
        return cross + a.unsqueeze(-1) * y + x * b.unsqueeze(-2) + x * y

    def _means(self) -> list[Tensor]:
        if not self._sums:
            raise ValueError("no samples were added")
        return [total / self.count for total in self._sums]

    def _shift_of(self, which: int) -> Tensor:
        assert self._shift is not None
        return self._shift[which]


def _inverse_deviation(mean: Tensor, square: Tensor, shift: Tensor) -> Tensor:
    variance = square - mean.square()
    dead = variance <= CONSTANT * (variance + (mean + shift).square())
    return torch.where(dead, 0.0, variance.clamp(min=torch.finfo(variance.dtype).tiny).rsqrt())
