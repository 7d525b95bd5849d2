"""Homogeneous linear equations in a growing number of unknowns, over the rationals or modulo 2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TypeAlias

Number: TypeAlias = int | Fraction  # whole numbers are ints: nearly all are, and Fractions are slow
Combination = Mapping[int, Number]  # unknown -> coefficient


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
        self._solved: dict[int, Combination] = {}

    def equate(self, terms: Iterable[tuple[int, Number]]) -> None:
        """Adds the equation ``sum of coefficient * unknown = 0`` over (unknown, coefficient) pairs."""
        combined = self._combine(terms)
        if not combined:
            return
        pivot = max((unknown for unknown, coefficient in combined.items() if abs(coefficient) == 1), default=-1)
        if pivot < 0:
            pivot = max(combined)
        divisor = combined.pop(pivot)
        self._solved[pivot] = self._combine(
            (unknown, _quotient(-coefficient, divisor)) for unknown, coefficient in combined.items()
        )

    def solution(self, unknown: int) -> Combination:
        """An unknown as a combination of free unknowns; empty where it must be 0."""
        solved = self._solved
        found = solved.get(unknown)
        if found is None:
            return {unknown: 1}
        if any(other in solved for other in found):
            found = solved[unknown] = self._combine(found.items())
        return found

    def _combine(self, terms: Iterable[tuple[int, Number]]) -> dict[int, Number]:
        total: dict[int, Number] = {}
        for unknown, coefficient in terms:
            for free, share in self.solution(unknown).items():
                value = total.get(free, 0) + coefficient * share
                total[free] = value % 2 if self._modulo_2 else value
        return {unknown: _plain(coefficient) for unknown, coefficient in total.items() if coefficient}


def _quotient(coefficient: Number, divisor: Number) -> Number:
    return coefficient * divisor if abs(divisor) == 1 else _plain(Fraction(coefficient) / divisor)


def _plain(number: Number) -> Number:
    return number.numerator if number.denominator == 1 else number
