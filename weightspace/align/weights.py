"""Weight matching: coordinate descent on the sum of bilinear assignments (Git Re-Basin, section 3.2).

The problem is NP-hard and descent ends in a local optimum, so it runs from several starts and keeps the best:

1. *frontier*: groups are matched in the order in which they become known. The first are those whose blocks reach fixed
   axes (inputs, outputs, tokens); each further one goes by blocks whose other groups are matched already. On a planted
   permutation this alone finds it, where a start from the given order gets lost in residual networks.
2. *given*: the order in which B comes, the start of the reference implementation.
3. *kicks*: the best element so far with a share of every group shuffled. Descent from there finds what descent from
   random elements does not (iterated local search, Lourenço et al. 2003).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from weightspace.align.problem import Problem
from weightspace.align.term import Term
from weightspace.align.unit import Unit, units_of
from weightspace.symmetry import Element

MOST_SWEEPS = 200
PERFECT = 1e-9  # an objective this close to its bound leaves nothing to find
KICK = 0.4  # share of the indices of a group that a kick shuffles
Progress = Callable[[int, int, str], None]


def match_weights(problem: Problem, *, restarts: int, seed: int, progress: Progress | None = None) -> int:
    """Runs weight matching from several starts; the problem ends at the best one.

    Args:
        problem: Freshly made, at the identity.
        restarts: Number of starts, at least 1; fewer where one of them cannot be beaten.
        seed: Seed of visiting orders and random starts.
        progress: Called with (starts done, starts in all, what is going on).

    Returns:
        Number of sweeps of the best start.
    """
    units = units_of(problem)
    bound = problem.upper_bound()
    best: tuple[float, Element, int] = (problem.objective(), problem.element, 0)
    for number in range(restarts):
        generator = torch.Generator().manual_seed(seed + number)
        problem.move(problem.element.inverse())
        if number == 0:
            _frontier(problem, units)
        elif number > 1:
            problem.move(best[1].then(_kick(problem, generator)))
        sweeps = _descend(problem, units, generator)
        objective = problem.objective()
        if objective > best[0]:
            best = (objective, problem.element, sweeps)
        perfect = best[0] >= (1 - PERFECT) * bound
        if progress is not None:
            progress(restarts if perfect else number + 1, restarts, f"objective {best[0]:.6g}")
        if perfect:
            break
    problem.move(problem.element.inverse().then(best[1]))
    return best[2]


def _kick(problem: Problem, generator: torch.Generator) -> Element:
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


def _frontier(problem: Problem, units: list[Unit]) -> None:
    """Matches every unit once, the best known first, going only by blocks whose other groups are known."""
    known: set[str] = set()
    waiting = list(units)
    touched = {unit: unit.terms(problem) for unit in units}
    sizes = {id(term): float(term.a.norm() * term.b.norm()) for term in problem.terms}  # no permutation changes them

    def weigh(unit: Unit) -> tuple[float, list[Term]]:
        terms = touched[unit]
        ready = [
            term
            for term in terms
            if (term.block.groups & problem.movable) - set(unit.groups) <= known
            # A recurrent weight carries the unit on its other dimension, too, where its order is not known yet.
            and all(len(term.places(group)) <= 1 for group in unit.groups)
        ]
        whole = sum(sizes[id(term)] for term in terms)
        return (sum(sizes[id(term)] for term in ready) / whole if whole else 0.0), ready

    while waiting:
        unit, (share, ready) = max(((unit, weigh(unit)) for unit in waiting), key=lambda item: item[1][0])
        unit.step(problem, ready if share else None)
        known.update(unit.groups)
        waiting.remove(unit)


def _descend(problem: Problem, units: list[Unit], generator: torch.Generator) -> int:
    """Sweeps over all units in random order until a sweep gains nothing; skips units whose neighbours did not move."""
    neighbours = {
        unit: [
            other
            for other in units
            if other is not unit and any(term.block.groups & set(other.groups) for term in unit.terms(problem))
        ]
        for unit in units
    }
    stale = set(units)
    for sweep in range(1, MOST_SWEEPS + 1):
        moved = False
        for place in torch.randperm(len(units), generator=generator).tolist():
            unit = units[place]
            if unit not in stale:
                continue
            stale.discard(unit)
            if unit.step(problem) > 0.0:
                moved = True
                stale.update(neighbours[unit])
                if not _settled(problem, unit):
                    stale.add(unit)
        if not moved:
            return sweep
    return MOST_SWEEPS


def _settled(problem: Problem, unit: Unit) -> bool:
    """Whether one step is the best that the unit can do with the others held."""
    return len(unit.groups) == 1 and problem.is_linear(unit.groups[0], unit.terms(problem))
