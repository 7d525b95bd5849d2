"""Units that no data tells apart: those that never fire are matched by their weights, once the others are in place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.align.problem import Problem
from weightspace.assignment import solve
from weightspace.symmetry import Element

MOST_SWEEPS = 10


def match_dead(problem: Problem, similarities: Mapping[str, Tensor]) -> None:
    """Matches dead units among themselves by weights, all other units held; the objective never falls.

    Units are dead that have no similarity with any other; those of the one network may have got alive partners in the
    other, where it has fewer of them. Groups within or around others are left as they are.

    Args:
        problem: Stands where the similarities have led; moves.
        similarities: By group, of shape (1, n, n): units of A in rows, of B, in its own order, in columns.
    """
    spec = problem.spec
    nested = {name for group in spec.groups for name in (group.name, *group.depends_on) if group.depends_on}
    loose = {
        name: slots
        for name, values in similarities.items()
        if name not in nested and len(slots := _slots(values[0], problem.element.perm(name))) > 1
    }
    for _ in range(MOST_SWEEPS):
        steps = [_step(problem, name, slots) for name, slots in loose.items()]
        if not any(steps):
            return


def _slots(similarity: Tensor, perm: Tensor) -> Tensor:
    """Slots of A whose unit is dead, or has a dead partner."""
    dead = [~(similarity != 0).any(dim).cpu() for dim in (1, 0)]
    return (dead[0] | dead[1][perm]).nonzero().flatten()


def _step(problem: Problem, name: str, slots: Tensor) -> bool:
    """Whether some of the slots of a group have got other units of B."""
    scores = problem.scores(name)
    chosen = slots.to(scores.device)
    order = solve(scores[..., chosen[:, None], chosen]).columns
    if bool((order == torch.arange(len(slots))).all()):
        return False
    step = torch.arange(scores.shape[-1])
    step[slots] = slots[order]
    own = problem.by_group[name]
    before = problem.objective(own)
    move = Element(problem.spec.all_groups, {name: step})
    problem.move(move)
    if problem.objective(own) > before:
        return True
    problem.move(move.inverse())
    return False
