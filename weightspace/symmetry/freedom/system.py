"""Homogeneous linear equations in a growing number of unknowns, over the rationals or modulo 2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

Combination = Mapping[int, Fraction]  # unknown -> coefficient


class LinearSystem:
    """Equations ``sum of coefficient * unknown = 0``, solved as they come.

    Unknowns are numbered in the order in which they appear. Of the unknowns of a new equation the youngest with a
    coefficient of 1 or -1 is expressed by the others, so that what stays free are the oldest ones, with small
    coefficients.

    Args:
        modulo_2: Count modulo 2 instead of over the rationals.
    """

    def __init__(self, *, modulo_2: bool = False) -> None:
        self._modulo_2 = modulo_2
        self._solved: dict[int, dict[int, Fraction]] = {}

    def equate(self, terms: Iterable[tuple[int, int | Fraction]]) -> None:
        """Adds the equation ``sum of coefficient * unknown = 0`` over (unknown, coefficient) pairs."""
        combined = self._combine((unknown, Fraction(coefficient)) for unknown, coefficient in terms)
        if not combined:
            return
        units = [unknown for unknown, coefficient in combined.items() if abs(coefficient) == 1]
        pivot = max(units or combined)
        divisor = combined.pop(pivot)
        self._solved[pivot] = self._combine(
            (unknown, -coefficient / divisor) for unknown, coefficient in combined.items()
        )

    def solution(self, unknown: int) -> Combination:
        """An unknown as a combination of free unknowns; empty where it must be 0."""
        if unknown not in self._solved:
            return {unknown: Fraction(1)}
        if any(other in self._solved for other in self._solved[unknown]):
            self._solved[unknown] = self._combine(self._solved[unknown].items())
        return self._solved[unknown]

    def _combine(self, terms: Iterable[tuple[int, Fraction]]) -> dict[int, Fraction]:
        total: dict[int, Fraction] = {}
        for unknown, coefficient in terms:
            for free, share in self.solution(unknown).items():
                value = total.get(free, Fraction(0)) + coefficient * share
                total[free] = value % 2 if self._modulo_2 else value
        return {unknown: coefficient for unknown, coefficient in total.items() if coefficient}
