"""One step of weight matching for a single group (Git Re-Basin, Ainsworth et al. 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from weightspace.align.problem import Problem
from weightspace.align.term import Term
from weightspace.assignment import Matching, solve
from weightspace.symmetry import Element

ROUNDING = 1e-6  # gains below this share of the largest score are float32 rounding


def single_step(problem: Problem, group: str, terms: Iterable[Term] | None = None) -> float:
    """Finds the best permutation of one group with all others held, and moves B if that raises the objective.

    An inner group gets one permutation per outer index. Where a block carries the group on two dimensions (a recurrent
    weight) the assignment maximises a linearisation, so its result is accepted only if the true objective rises.

    Args:
        problem: The state of the descent.
        group: A movable group.
        terms: The blocks to go by; all that carry the group by default.

    Returns:
        The gain over these blocks, 0 where nothing moved.
    """
    chosen = problem.by_group[group] if terms is None else [term for term in terms if term.places(group)]
    if not chosen:
        return 0.0
    scores = problem.scores(group, None if terms is None else chosen)
    matching = solve(scores, warm=None if terms is not None else problem.matchings.get(group))
    if terms is None:
        problem.matchings[group] = matching
    perm = matching.columns
    stay = scores.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)
    gain = float((matching.value - stay.cpu()).sum())
    tolerance = ROUNDING * float(scores.abs().max())
    if not gain > tolerance:
        return 0.0
    step = Element(problem.spec.all_groups, {group: perm})
    if problem.is_linear(group, chosen):
        problem.move(step)
        if terms is None:
            problem.matchings[group] = after_move(matching)
        return gain
    before = problem.objective(chosen)
    problem.move(step)
    gain = problem.objective(chosen) - before
    if gain > tolerance:
        return gain
    problem.move(step.inverse())
    return 0.0


def after_move(matching: Matching) -> Matching:
    """The same matching once B has moved by it: every unit is in its slot, and its price came along."""
    n = matching.columns.shape[-1]
    columns = torch.arange(n).expand_as(matching.columns)
    return Matching(columns, matching.prices.gather(-1, matching.columns), matching.value, matching.gap)
