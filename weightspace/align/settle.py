"""Plain coordinate descent from where a problem stands (Git Re-Basin, Ainsworth et al. 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Collection

import torch

from weightspace.align.position import Position
from weightspace.align.problem import Problem
from weightspace.align.sweeps import Sweeps
from weightspace.align.unit import units_of


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
    sweeps, at = Sweeps(problem, units), Position(start=0, stale=set(range(len(units))))
    random = torch.Generator().manual_seed(seed)
    while sweeps.visit_next(at, random):
        pass
    return at.sweep
