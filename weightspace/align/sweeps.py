"""Sweeps of coordinate descent (Git Re-Basin, Ainsworth et al. 2022, section 3.2): units in random order."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from weightspace.align.position import Position
from weightspace.align.problem import Problem
from weightspace.align.unit import Unit

MOST_SWEEPS = 200


class Sweeps:
    """Visits units until a sweep gains nothing; those whose neighbours did not move are passed over.

    Attributes:
        near: For every unit those with which it shares a block.
    """

    def __init__(self, problem: Problem, units: Sequence[Unit]) -> None:
        self._problem, self._units = problem, units
        self.near = _neighbours(problem, units)

    def visit_next(self, at: Position, random: torch.Generator) -> bool:
        """Matches the next unit that may gain; False where the descent has settled.

        Args:
            at: Where the descent is; goes on.
            random: Gives the order of a sweep when it begins.
        """
        while True:
            if not at.order:
                settled = not self._units or (at.sweep > 0 and not at.moved)
                if (settled and not at.held) or at.sweep >= MOST_SWEEPS:
                    return False
                if settled:
                    at.stale |= at.held
                    at.held = set()
                at.order = torch.randperm(len(self._units), generator=random).tolist()
                at.sweep += 1
                at.moved = False
            number = at.order.pop(0)
            if number in at.stale and number not in at.held:
                self.visit(at, number)
                return True

    def visit(self, at: Position, number: int) -> None:
        """Matches one unit with all others held; what is near it may gain again where it moved."""
        unit = self._units[number]
        at.stale.discard(number)
        if unit.step(self._problem) > 0.0:
            at.moved = True
            at.stale |= self.near[number]
            if not _settles(self._problem, unit):
                at.stale.add(number)


def _neighbours(problem: Problem, units: Sequence[Unit]) -> list[set[int]]:
    carriers: dict[str, set[int]] = {}
    for number, unit in enumerate(units):
        for group in {group for term in unit.terms(problem) for group in term.block.groups}:
            carriers.setdefault(group, set()).add(number)
    return [
        {other for group in unit.groups for other in carriers[group]} - {number} for number, unit in enumerate(units)
    ]


def _settles(problem: Problem, unit: Unit) -> bool:
    """Whether one step is the best that the unit can do with the others held."""
    return len(unit.groups) == 1 and problem.is_linear(unit.groups[0], unit.terms(problem))
