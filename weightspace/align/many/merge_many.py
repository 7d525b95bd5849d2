"""MergeMany: each network in turn is aligned with the mean of the others (Git Re-Basin, Ainsworth et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from weightspace.align.many.family import Family
from weightspace.align.method import Progress
from weightspace.align.search import Search
from weightspace.symmetry import Element

MOST_ROUNDS = 100
SMALLEST_GAIN = 1e-7  # of the objective; less is rounding


@dataclass(frozen=True)
class Merged:
    """Where the networks were brought.

    Attributes:
        elements: One for each network.
        objective: Sum of inner products over all pairs.
        rounds: Passes over all networks.
    """

    elements: list[Element]
    objective: float
    rounds: int


def merge_many(
    family: Family, start: Sequence[Element], *, restarts: int, seed: int, progress: Progress | None = None
) -> Merged:
    """Aligns one network at a time with the mean of the others, until their distances stop falling.

    A network moves only where the sum of inner products over all pairs rises; with norms that no element changes that
    is the sum of squared distances falling.

    Args:
        family: The networks.
        start: From where; in the paper from the order as given, but the mean of networks that are not aligned yet says
            little.
        restarts: Starts of every search.
        seed: Seed of the visiting orders and of the searches.
        progress: Told about every round.
    """
    elements, moved = list(start), family.moved(start)
    generator = torch.Generator().manual_seed(seed)
    objective, rounds = family.objective(moved), 0
    while len(family) > 1 and rounds < MOST_ROUNDS:
        if progress is not None:
            progress(1 - 0.5**rounds, 1, f"objective {objective:.6g}, round {rounds + 1}")
        rounds += 1
        for index in torch.randperm(len(family), generator=generator).tolist():
            problem = family.toward_others(moved, index)
            Search(problem, restarts=restarts, seed=seed + rounds).run()
            elements[index] = elements[index].then(problem.element)
            moved[index] = family.spec.apply(problem.element, moved[index])
        before, objective = objective, family.objective(moved)
        if not objective - before > SMALLEST_GAIN * abs(objective):
            break
    return Merged(elements, objective, rounds)
