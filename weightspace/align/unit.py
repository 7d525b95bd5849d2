"""What coordinate descent moves at once: one group, or an outer group together with its inner ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weightspace.align.joint import is_joint, joint_step
from weightspace.align.problem import Problem
from weightspace.align.single import single_step
from weightspace.align.term import Term


@dataclass(frozen=True)
class Unit:
    """Groups that are matched in one step.

    Attributes:
        groups: A single group; or an outer group, first, and the inner groups that depend on it alone.
    """

    groups: tuple[str, ...]

    def terms(self, problem: Problem) -> list[Term]:
        """Blocks that the unit touches."""
        return problem.touched(self.groups)

    def work(self, problem: Problem) -> int:
        """Operations that forming its costs takes."""
        return sum(
            2 * math.prod(term.block.shape) * term.block.shape[place]
            for group in self.groups
            for term in problem.by_group[group]
            for place in term.places(group)
        )

    def step(self, problem: Problem, terms: Sequence[Term] | None = None) -> float:
        """Matches the unit with everything else held; B moves if that raises the objective.

        Args:
            problem: The state of the descent.
            terms: The blocks to go by; all that the unit touches by default.

        Returns:
            The gain over these blocks, 0 where nothing moved.
        """
        if len(self.groups) > 1:
            gain = joint_step(problem, self.groups[0], self.groups[1:], self.terms(problem) if terms is None else terms)
            if gain > 0.0:
                return gain
        return sum(single_step(problem, group, terms) for group in self.groups)


def units_of(problem: Problem) -> list[Unit]:
    """All movable groups, gathered into units."""
    units = []
    taken: set[str] = set()
    for group in problem.spec.groups:
        inner = tuple(g.name for g in problem.spec.groups if g.depends_on == (group.name,))
        if not group.depends_on and inner and is_joint(problem, group.name, inner):
            units.append(Unit((group.name, *inner)))
            taken.update(units[-1].groups)
    order = {group.name: place for place, group in enumerate(problem.spec.groups)}
    units += [Unit((group.name,)) for group in problem.spec.groups if group.name not in taken]
    return sorted((unit for unit in units if unit.terms(problem)), key=lambda unit: order[unit.groups[0]])
