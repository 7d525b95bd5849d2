"""Coordinate descent on the sum of bilinear assignments (Git Re-Basin, Ainsworth et al. 2022, section 3.2).

The problem is NP-hard and descent ends in a local optimum, so it runs from several starts and keeps the best:

1. *frontier*: groups are matched in the order in which they become known (`weightspace.align.frontier`). On a planted
   permutation this alone finds it, where a start from the given order gets lost in residual networks.
2. *given*: the order in which B comes, the start of the reference implementation.
3. *held*: the same with the groups of residual streams held in that order until all others have settled.
4. *kicks*: the best element so far with a share of every group shuffled. Descent from there finds what descent from
   random elements does not (iterated local search, Lourenço et al. 2003).

A search can be interrupted and go on: every `STRETCH` of work it forgets all costs and, where asked to, writes down
where it is. It forgets in either case, so that the result is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from weightspace.align.frontier import Frontier
from weightspace.align.journal import Journal
from weightspace.align.position import Best, Position
from weightspace.align.problem import Problem
from weightspace.align.sweeps import Sweeps
from weightspace.align.unit import units_of
from weightspace.symmetry import Element

PERFECT = 1e-9  # an objective this close to its bound leaves nothing to find
KICK = 0.4  # share of the indices of a group that a kick shuffles
STRETCH = 20_000_000_000_000  # operations between two notes of where the search is: minutes of a processor
HUB = 3  # a group whose blocks also carry this many others is that of a residual stream
FRONTIER, GIVEN, HELD = range(3)


class Search:
    """A descent from several starts, step by step.

    Attributes:
        problem: Moves as the search goes on.
        at: Where the search is.
        best: The best that was found so far.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        restarts: int,
        seed: int,
        progress: Callable[[float, float, str], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Prepares a search, or one that goes on where the journal stands.

        Args:
            problem: Freshly made, at the identity.
            restarts: Number of starts, at least 1; fewer where one of them cannot be beaten.
            seed: Seed of visiting orders and random starts.
            progress: Called with (starts done, with a fraction for the one at work, starts in all, what is going on).
            journal: Where to write down where the search is, and from where to go on.

        Raises:
            AlignmentError: If the journal is of another search.
        """
        self.problem = problem
        self.units = units_of(problem)
        self._restarts, self._seed, self._progress, self._journal = restarts, seed, progress, journal
        self._sweeps = Sweeps(problem, self.units)
        self._frontier = Frontier(problem, self.units, self._sweeps)
        self._random = torch.Generator()
        self._works = [unit.work(problem) for unit in self.units]
        self._stretch = 0
        noted = journal.read(problem) if journal is not None else None
        if noted is None:
            self.best = Best(problem.objective(), problem.element, 0)
            self.at = Position(start=-1)
        else:
            self.at, self.best = noted
            self._random.set_state(self.at.random)
            self._stretch = problem.work

    def run(self) -> int:
        """Searches to the end; the problem ends at the best element.

        Returns:
            Number of sweeps of the best start.
        """
        bound = (1 - PERFECT) * self.problem.upper_bound()
        if self.at.start < 0:
            self._begin(0)
        while True:
            while not self._step():
                self._note()
            objective = self.problem.objective()
            if objective > self.best.objective:
                self.best = Best(objective, self.problem.element, self.at.sweep)
            if self.best.objective >= bound or self.at.start + 1 >= self._restarts:
                break
            self._begin(self.at.start + 1)
        self._write()
        self._tell(finished=True)
        self.problem.move_to(self.best.element)
        return self.best.sweeps

    def _begin(self, start: int) -> None:
        """Puts the problem at a start."""
        self._random.manual_seed(self._seed + start)
        every = range(len(self.units))
        self.problem.move_to(self.problem.spec.identity())
        self.at = Position(start, stale=set(every))
        held = [n for n in every if len(self._sweeps.near[n]) >= HUB]
        if start == FRONTIER:
            self.at.waiting = list(every)
        elif start == HELD and 0 < len(held) < len(self.units):
            self.at.held = set(held)
        elif start > GIVEN:
            self.problem.move_to(self.best.element.then(kick(self.problem, self._random)))

    def _step(self) -> bool:
        """Matches one unit; says whether the descent has settled."""
        self._tell()
        if self.at.waiting:
            self._frontier.match_next(self.at)
            return False
        return not self._sweeps.visit_next(self.at, self._random)

    def _note(self) -> None:
        """Forgets what was carried along, and writes down where the search is, when it is time."""
        if self.problem.work - self._stretch < STRETCH:
            return
        self.problem.forget_costs()
        self._stretch = self.problem.work
        self._write()

    def _write(self) -> None:
        if self._journal is not None:
            self.at.random = self._random.get_state()
            self._journal.write(self.problem, self.at, self.best)

    def _tell(self, *, finished: bool = False) -> None:
        if self._progress is not None:
            sweep = f", sweep {self.at.sweep}" if self.at.sweep else ""
            done = self._restarts if finished else self.at.start + self._share()
            self._progress(done, self._restarts, f"objective {self.best.objective:.6g}{sweep}")

    def _share(self) -> float:
        """Guess how much of a start is done: as if each pass over the units were half of what is left."""
        at = self.at
        passes = at.sweep if at.start == FRONTIER else max(0, at.sweep - 1)
        left = at.waiting or [number for number in at.order if number in at.stale]
        if at.start != FRONTIER and not at.sweep:  # before the first pass
            left = range(len(self.units))
        share = sum(self._works[number] for number in left) / max(1, sum(self._works))
        return 1 - 0.5**passes * (1 + share) / 2


def kick(problem: Problem, generator: torch.Generator) -> Element:
    """An element that shuffles a share of the indices of every group."""
    perms = {}
    for group in problem.spec.groups:
        shape = problem.element.perm(group.name).shape
        rows = torch.arange(group.size).repeat(shape.numel() // group.size, 1)
        for row in rows:
            chosen = torch.randperm(group.size, generator=generator)[: max(2, math.ceil(KICK * group.size))]
            row[chosen.sort().values] = chosen
        perms[group.name] = rows.reshape(shape)
    return Element(problem.spec.all_groups, perms)
