"""One step of weight matching for a group whose units may change their signs.

With all other groups held, the score of pairing unit i of A with unit j of B is the largest sum of inner products that
the signs of j reach; one assignment over these scores finishes. Then every unit takes the signs that its pair is best
with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from weightspace.align.contraction import contract
from weightspace.align.freedoms.sign_choice import best_over_signs, best_signs
from weightspace.align.freedoms.sign_layout import Pattern, SignLayout
from weightspace.align.freedoms.sign_state import SignState
from weightspace.align.problem import Problem
from weightspace.align.single import ROUNDING, after_move, single_step
from weightspace.align.term import Term
from weightspace.assignment import solve
from weightspace.symmetry import Element

_Parts = dict[Pattern, list[tuple[Term, int]]]


def signed_step(problem: Problem, signs: SignState, group: str, terms: Iterable[Term] | None = None) -> float:
    """Finds the best permutation and signs of one group with all others held; B moves if that raises the objective.

    Where a block carries the group on two dimensions the scores are a linearisation, as in `single_step`; if the true
    objective does not rise by it, the order is matched under the signs as they are.

    Args:
        problem: The state of the descent.
        signs: The signs of B in it.
        group: A group that has sign freedoms.
        terms: The blocks to go by; all that carry the group by default.

    Returns:
        The gain over these blocks, 0 where nothing moved.
    """
    terms = None if terms is None else list(terms)
    chosen = [term for term in (problem.by_group[group] if terms is None else terms) if term.places(group)]
    if not chosen:
        return 0.0
    layout = signs.layouts[group]
    parts = _parts(layout, chosen)
    stay: list[float] = []

    def part(pattern: Pattern) -> Tensor:
        values = _all_pairs(problem, parts[pattern])
        stay.append(float(values.diagonal().sum(dtype=torch.float64)))
        return values

    scores = best_over_signs(layout, parts, part)
    matching = solve(scores, warm=None if terms is not None else problem.matchings.get(group))
    if terms is None:
        problem.matchings[group] = matching
    gain = float(matching.value) - sum(stay)
    tolerance = ROUNDING * float(scores.abs().max())
    if not gain > tolerance:
        return 0.0
    linear = problem.is_linear(group, chosen)
    before = 0.0 if linear else problem.objective(chosen)
    step = Element(problem.spec.all_groups, {group: matching.columns})
    problem.move(step)
    flips = _flip(problem, signs, group, parts)
    if linear:
        if terms is None:
            problem.matchings[group] = after_move(matching)
        return gain
    gain = problem.objective(chosen) - before
    if gain > tolerance:
        return gain
    signs.flip(problem, group, flips)
    problem.move(step.inverse())
    return single_step(problem, group, terms)


def sign_step(problem: Problem, signs: SignState, group: str) -> bool:
    """Finds the best signs of one group in the order in which it is, with all others held.

    Where a block carries the group on two dimensions the choice is by a linearisation, and taken back if the objective
    falls.

    Args:
        problem: The state of the descent.
        signs: The signs of B in it.
        group: A group that has sign freedoms.

    Returns:
        Whether any sign changed.
    """
    terms = problem.by_group[group]
    before = problem.objective(terms)
    flips = _flip(problem, signs, group, _parts(signs.layouts[group], terms))
    if all(bool((flip > 0).all()) for flip in flips.values()):
        return False
    if problem.objective(terms) > before + ROUNDING * abs(before):
        return True
    signs.flip(problem, group, flips)
    return False


def _flip(problem: Problem, signs: SignState, group: str, parts: _Parts) -> dict[str, Tensor]:
    """Gives every unit the signs that its pair is best with; says which changed."""
    flips = best_signs(signs.layouts[group], parts, lambda pattern: _own_pairs(problem, parts[pattern]))
    signs.flip(problem, group, flips)
    return flips


def _parts(layout: SignLayout, terms: Sequence[Term]) -> _Parts:
    """(block, dimension) pairs by the freedoms that change their sign there."""
    parts: _Parts = defaultdict(list)
    for term in terms:
        for place in term.places(layout.group):
            parts[layout.pattern(term.block, place)].append((term, place))
    return parts


def _all_pairs(problem: Problem, places: Sequence[tuple[Term, int]]) -> Tensor:
    """Inner products of all pairs of units of A and B, (n, n) in float32."""
    total: Tensor | None = None
    for term, place in places:
        a, b = problem.a(term), problem.b(term)
        total = contract(a, b, (), place, term.weight, total)
        problem.work += 2 * a.numel() * a.shape[place]
    assert total is not None
    return total


def _own_pairs(problem: Problem, places: Sequence[tuple[Term, int]]) -> Tensor:
    """Inner products of the units that lie in the same slots, (n,) in float32."""
    total = torch.zeros(())
    for term, place in places:
        sides = (problem.a(term), problem.b(term))
        left, right = (side.movedim(place, 0).reshape(side.shape[place], -1).float() for side in sides)
        total = total + term.weight * torch.linalg.vecdot(left, right)
    return total
