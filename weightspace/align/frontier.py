"""The frontier start: groups are matched in the order in which they become known.

The first are those whose blocks reach fixed axes (inputs, outputs, tokens); each further one goes by blocks whose other
groups are matched already.
"""

from __future__ import annotations

from weightspace.align.position import Position
from weightspace.align.problem import Problem
from weightspace.align.sweeps import Sweeps
from weightspace.align.term import Term
from weightspace.align.unit import Unit


class Frontier:
    """Matches units one by one, the best known first."""

    def __init__(self, problem: Problem, units: list[Unit], sweeps: Sweeps) -> None:
        self._problem, self._units, self._sweeps = problem, units, sweeps
        self._touched = [unit.terms(problem) for unit in units]
        self._sizes = {term: term.weight * a * b for term, (a, b) in problem.norms.items()}
        self._whole = [sum(self._sizes[term] for term in terms) for terms in self._touched]

    def match_next(self, at: Position) -> None:
        """Matches the unit of which most is known, going only by blocks whose other groups are known.

        Where all is known, that is a visit like those of a sweep, which passes the unit over as long as nothing near it
        moves.

        Args:
            at: Where the descent is, with units waiting; one fewer afterwards.
        """
        waiting = at.waiting
        unknown = {group for number in waiting for group in self._units[number].groups}
        ready = {number: self._ready(number, unknown) for number in waiting}
        shares = {
            number: sum(self._sizes[term] for term in terms) / self._whole[number] if self._whole[number] else 0.0
            for number, terms in ready.items()
        }
        chosen = max(waiting, key=lambda number: shares[number])
        partly = shares[chosen] and len(ready[chosen]) < len(self._touched[chosen])
        waiting.remove(chosen)
        if not partly:
            self._sweeps.visit(at, chosen)
        elif self._units[chosen].step(self._problem, ready[chosen]) > 0.0:
            at.stale |= self._sweeps.near[chosen]

    def _ready(self, number: int, unknown: set[str]) -> list[Term]:
        own = self._units[number].groups
        others = unknown - set(own)
        return [
            term
            for term in self._touched[number]
            if not term.block.groups & others
            # A recurrent weight carries the unit on its other dimension, too, where its order is not known yet.
            and all(len(term.places(group)) <= 1 for group in own)
        ]
