"""Descent over permutations and signs from several starts, as `weightspace.align.search` does it for permutations.

The first is where the problem stands; then come the frontier, the same as the first with residual streams held, and
kicks of the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from weightspace.align.freedoms.sign_state import SignState
from weightspace.align.freedoms.signed_step import signed_step
from weightspace.align.frontier import Frontier
from weightspace.align.method import Progress
from weightspace.align.position import Position
from weightspace.align.problem import Problem
from weightspace.align.search import FRONTIER, GIVEN, HELD, HUB, PERFECT, kick
from weightspace.align.sweeps import Sweeps
from weightspace.align.term import Term
from weightspace.align.unit import Unit, units_of
from weightspace.symmetry import Transformation


@dataclass(frozen=True)
class SignedUnit(Unit):
    """A group whose units change their places and signs."""

    signs: SignState = field(compare=False, kw_only=True)

    def step(self, problem: Problem, terms: Sequence[Term] | None = None) -> float:
        """Matches the group with everything else held, see `Unit.step`."""
        return signed_step(problem, self.signs, self.groups[0], terms)


def signed_units(problem: Problem, signs: SignState) -> list[Unit]:
    """All movable groups, gathered into units; those with signs decide them, too."""
    return [
        SignedUnit(unit.groups, signs=signs) if unit.groups[0] in signs.layouts else unit for unit in units_of(problem)
    ]


class SignedSearch:
    """Descents from several starts, of which the best is kept."""

    def __init__(self, problem: Problem, signs: SignState, *, seed: int, progress: Progress | None = None) -> None:
        self._problem, self._signs, self._seed, self._progress = problem, signs, seed, progress
        self._units = signed_units(problem, signs)
        self._sweeps = Sweeps(problem, self._units)
        self._frontier = Frontier(problem, self._units, self._sweeps)
        self._random = torch.Generator()
        self._objective = problem.objective()
        self._given = self._best = signs.transformation(problem)

    def run(self, restarts: int) -> None:
        """Searches to the end; the problem ends at the best that was found.

        Args:
            restarts: Number of starts, at least 1; fewer where one of them cannot be beaten.
        """
        bound = (1 - PERFECT) * self._problem.upper_bound()
        for number, start in enumerate((GIVEN, FRONTIER, HELD, *range(HELD + 1, restarts))[:restarts]):
            self._tell(number, restarts)
            self._descend(start)
            objective = self._problem.objective()
            if objective > self._objective:
                self._objective, self._best = objective, self._signs.transformation(self._problem)
            if self._objective >= bound:
                break
        self._tell(restarts, restarts)
        self._signs.put(self._problem, self._best)

    def _descend(self, start: int) -> None:
        self._random.manual_seed(self._seed + start)
        every = set(range(len(self._units)))
        at = Position(start, stale=set(every))
        if start == FRONTIER:
            self._signs.put(self._problem, Transformation.identity(self._problem.spec))
            at.waiting = sorted(every)
            while at.waiting:
                self._frontier.match_next(at)
        else:
            hubs = {number for number in every if len(self._sweeps.near[number]) >= HUB}
            kicked = start > HELD or (start == HELD and not 0 < len(hubs) < len(every))
            self._signs.put(self._problem, self._best if kicked else self._given)
            if kicked:
                self._problem.move(kick(self._problem, self._random))
            elif start == HELD:
                at.held = hubs
        while self._sweeps.visit_next(at, self._random):
            pass

    def _tell(self, done: int, restarts: int) -> None:
        if self._progress is not None:
            self._progress(done, restarts, f"objective {self._objective:.6g}")
