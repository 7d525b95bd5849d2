"""Plain coordinate descent from where a problem stands (Git Re-Basin, Ainsworth et al. 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Collection

import torch

from weightspace.align.problem import Problem
from weightspace.align.unit import units_of

MOST_SWEEPS = 200


def settle(problem: Problem, *, seed: int = 0, only: Collection[str] | None = None) -> int:
    """Sweeps over groups in random order until a sweep gains nothing; the objective never falls.

    Args:
        problem: Moves from where it stands.
        seed: Seed of the visiting orders.
        only: Groups that may move; a unit of nested groups moves where all of it may. By default all.

    Returns:
        Number of sweeps.
    """
    units = [unit for unit in units_of(problem) if only is None or set(unit.groups) <= set(only)]
    generator = torch.Generator().manual_seed(seed)
    for sweep in range(1, MOST_SWEEPS + 1):
        order = torch.randperm(len(units), generator=generator).tolist()
        gains = [units[number].step(problem) for number in order]
        if not any(gain > 0.0 for gain in gains):
            return sweep
    return MOST_SWEEPS
