"""Which share of the units of every group is kept apart, so that a merged network has a given size.

The shares that lose least are found by mixed integer linear programming (HiGHS: Huangfu and Hall 2018), on a grid; the
original code of PLeaS (Nasery et al. 2024, section 4.1) solves a nonconvex quadratic program instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weightspace.errors import SpecError
from weightspace.merge.size import Size

_SECONDS = 30.0
_GAP = 1e-3
_HALVINGS = 20
_ROUNDED = 1.01  # "2" stands for all of two networks, whose biases of outputs are there once


@dataclass(frozen=True)
class Budget:
    """Shares that were chosen.

    Attributes:
        shares: For every group that may grow the share of its units kept apart.
        size: The size with these, relative to that of one network.
    """

    shares: Mapping[str, float]
    size: float


def largest(size: Size, groups: Sequence[str]) -> float:
    """The size with all units of some groups kept apart, relative to that of one network."""
    return size.at(dict.fromkeys(groups, 1.0)) / size.one


def choose(size: Size, losses: Mapping[str, Sequence[float]], target: float) -> Budget:
    """Chooses the shares.

    Args:
        size: How large the network is.
        losses: For every group that may grow what is lost when 0, 1/n, ..., all of its units are kept apart.
        target: Largest size, relative to that of one network.

    Raises:
        SpecError: No choice has that size.
    """
    most = _checked(size, [*losses], target)
    grid = {group: np.linspace(0.0, 1.0, len(each)) for group, each in losses.items()}
    shares = dict.fromkeys(losses, 1.0)
    if target < most:
        shares = _solved(size, grid, losses, target * size.one)
        shares = _filled(size, shares, losses, target * size.one)
    return Budget(shares, size.at(shares) / size.one)


def evenly(size: Size, groups: Sequence[str], target: float) -> Budget:
    """The same share of every group, see `choose`.

    Raises:
        SpecError: No share has that size.
    """
    if target >= _checked(size, groups, target):
        return Budget(dict.fromkeys(groups, 1.0), largest(size, groups))
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if size.at(dict.fromkeys(groups, middle)) <= target * size.one else (low, middle)
    shares = dict.fromkeys(groups, low)
    return Budget(shares, size.at(shares) / size.one)


def _checked(size: Size, groups: Sequence[str], target: float) -> float:
    """The largest size, once a target is known not to exceed it."""
    most = largest(size, groups)
    if not 1.0 <= target <= most * _ROUNDED:
        raise SpecError(
            f"size {target:g}: expected from 1 to {most:.4g}, which keeps apart all units of the {len(groups)} groups "
            "that may grow; give one of these"
        )
    return most


def _filled(
    size: Size, shares: dict[str, float], losses: Mapping[str, Sequence[float]], most: float
) -> dict[str, float]:
    """What the grid has left over, given to the groups that lose most, each as far as to its next point."""

    def gain(group: str) -> float:
        steps = len(losses[group]) - 1
        at = round(shares[group] * steps)
        return losses[group][at] - losses[group][min(at + 1, steps)]

    for group in sorted(shares, key=gain, reverse=True):
        low, high = shares[group], min(1.0, shares[group] + 1.0 / (len(losses[group]) - 1))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if size.at({**shares, group: middle}) <= most else (low, middle)
        shares = {**shares, group: low}
    return shares


def _solved(
    size: Size, grid: Mapping[str, np.ndarray], losses: Mapping[str, Sequence[float]], most: float
) -> dict[str, float]:
    """One choice per group, and for every two groups that a weight lies between the pair of their choices."""
    program = _Program()
    chosen = {group: [program.variable(loss, integral=True) for loss in losses[group]] for group in grid}
    for variables in chosen.values():
        program.row(dict.fromkeys(variables, 1.0), 1.0, 1.0)
    spent: dict[int, float] = {}
    fixed, more = 0.0, size.networks - 1
    for (made, read), amount in size.amounts.items():
        sides = list(dict.fromkeys(group for group in (made, read) if group in grid))
        fixed += amount
        if len(sides) == 1:
            (group,) = sides
            assert group is not None
            for variable, share in zip(chosen[group], grid[group], strict=True):
                growth = share * (2 - share) if made == read else share
                spent[variable] = spent.get(variable, 0.0) + more * amount * growth
        elif len(sides) == 2:
            pairs = program.pairs(chosen[sides[0] or ""], chosen[sides[1] or ""])
            for (r, s), variable in zip(itertools.product(*(grid[side or ""] for side in sides)), pairs, strict=True):
                spent[variable] = spent.get(variable, 0.0) + more * amount * (r + s - r * s)
    program.row(spent, -np.inf, most - fixed)
    values = program.solve()
    return {group: float(grid[group] @ values[variables]) for group, variables in chosen.items()}


class _Program:
    """A mixed integer linear program, row by row; all variables lie between 0 and 1."""

    def __init__(self) -> None:
        self._costs: list[float] = []
        self._integral: list[bool] = []
        self._rows: list[tuple[dict[int, float], float, float]] = []
        self._pairs: dict[tuple[int, int], list[int]] = {}

    def variable(self, cost: float = 0.0, *, integral: bool = False) -> int:
        self._costs.append(cost)
        self._integral.append(integral)
        return len(self._costs) - 1

    def row(self, entries: Mapping[int, float], low: float, high: float) -> None:
        self._rows.append((dict(entries), low, high))

    def pairs(self, first: list[int], second: list[int]) -> list[int]:
        """For every pair of choices a variable that is 1 where both are made, the second running fastest."""
        key = first[0], second[0]
        if key not in self._pairs:
            variables = [self.variable() for _ in range(len(first) * len(second))]
            table = np.array(variables).reshape(len(first), len(second))
            for choices, lines in ((first, table), (second, table.T)):
                for choice, line in zip(choices, lines, strict=True):
                    self.row({**dict.fromkeys(line.tolist(), 1.0), choice: -1.0}, 0.0, 0.0)
            self._pairs[key] = variables
        return self._pairs[key]

    def solve(self) -> np.ndarray:
        from scipy.optimize import Bounds, LinearConstraint, milp  # slow to import
        from scipy.sparse import coo_array

        entries = [(row, at, value) for row, (own, _, _) in enumerate(self._rows) for at, value in own.items()]
        rows, columns, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, columns)), shape=(len(self._rows), len(self._costs)))
        low, high = np.array([row[1:] for row in self._rows]).T
        found = milp(
            np.array(self._costs),
            integrality=np.array(self._integral, dtype=int),
            bounds=Bounds(0.0, 1.0),
            constraints=LinearConstraint(matrix.tocsr(), low, high),
            options={"time_limit": _SECONDS, "mip_rel_gap": _GAP},
        )
        if found.x is None:
            raise SpecError(f"no choice of units to keep apart was found ({found.message}); give another size")
        return found.x
