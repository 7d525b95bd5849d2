"""Units of several networks merged two at a time, the most alike first (ZipIt: Stoica et al. 2023, section 4.3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CHUNK = 1 << 22  # pairs looked at together
_ROUNDING = 1e-9


def zip_units(similar: Tensor, models: int, size: int, *, alpha: float, beta: float) -> list[Tensor]:
    """Merges the pair of units that is most alike, again and again, until so many units are left.

    A pair is merged within a network or across. What came of it is as much like another unit as the less alike of the
    two, times `alpha` where the three hold two units of one network. (With two networks that is always so, as in the
    paper. With more, the first unit of a third network is no repetition.)

    Two homes that hold units of the same network become one at the cost of one from its budget, whatever else they
    hold; with `beta` 0 no home holds two units of a network. With three networks or more the pairs that look best could
    use up what others need: once `size` homes hold units of several networks, no more are begun and none of them are
    joined. So the wanted size is always reached.

    Args:
        similar: Symmetric (N n, N n): how alike the units are, one network after the other; the diagonal is not read.
        models: Number of networks N.
        size: Units that are to be left, from n to N n.
        alpha: From 0 to 1.
        beta: Share of the units of a network that may be lost to merges within it, from 0 to 1, rounded down.

    Returns:
        For every network int64 (n,): the home of each unit, homes in the order of their first units.

    Raises:
        ValueError: A number is out of its range.
    """
    units = len(similar)
    n = units // models
    if not n <= size <= units:
        raise ValueError(f"size of a zipped group: expected {n} to {units} units, found {size}")
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: expected a number from 0 to 1, found {value}")
    values = similar.double().cpu().numpy()
    zipper = _Zipper((values + values.T) / 2, models, size, alpha, int(beta * n + _ROUNDING))
    for _ in range(units - size):
        zipper.step()
    home = np.unique(zipper.home, return_inverse=True)[1]
    return list(torch.from_numpy(home.astype(np.int64)).split(n))


class _Zipper:
    """Homes so far, each in the row of its first unit; of every row the best pair is known."""

    def __init__(self, similar: NDArray, models: int, size: int, alpha: float, budget: int) -> None:
        units = len(similar)
        self.home = np.arange(units)
        self._similar, self._size, self._alpha = similar, size, alpha
        self._held = (np.arange(units)[:, None] // (units // models) == np.arange(models)).astype(np.float32)
        self._budget = np.full(models, budget)
        self._alive = np.ones(units, dtype=bool)
        self._full = False  # whether no home is begun any more
        self._best, self._at = np.full(units, -np.inf), np.zeros(units, dtype=np.int64)
        self._look(np.arange(units))

    def step(self) -> None:
        """Merges the best pair."""
        row = int(self._best.argmax())
        one, two = sorted((row, int(self._at[row])))
        shared = (self._held[one] > 0) & (self._held[two] > 0)
        self._budget[shared] -= 1
        self.home[self.home == two] = one
        self._held[one] += self._held[two]
        self._alive[two], self._best[two] = False, -np.inf
        values = np.minimum(self._similar[one], self._similar[two])
        repeated = ((self._held[one] + self._held) > 1).any(1)
        values[repeated] *= self._alpha
        self._similar[one] = self._similar[:, one] = values
        full = int((self._begun() & self._alive).sum()) >= self._size
        if full != self._full or bool((self._budget[shared] == 0).any()):
            self._full = full
            self._look(np.flatnonzero(self._alive))
            return
        lost = self._alive & ((self._at == one) | (self._at == two))
        lost[one] = True
        self._look(np.flatnonzero(lost))
        better = (values > self._best) | ((values == self._best) & (one < self._at))
        better &= self._allowed(np.array([one]))[0]
        self._best[better], self._at[better] = values[better], one

    def _look(self, rows: NDArray) -> None:
        """Finds the best pairs of some rows."""
        step = max(1, _CHUNK // len(self.home))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            values = np.where(self._allowed(some), self._similar[some], -np.inf)
            self._at[some] = values.argmax(1)
            self._best[some] = values.max(1)

    def _allowed(self, rows: NDArray) -> NDArray:
        """Which homes may be merged with those of some rows, bool (rows, units)."""
        allowed = np.repeat(self._alive[None], len(rows), 0)
        allowed[np.arange(len(rows)), rows] = False
        spent = self._budget == 0
        if spent.any():
            allowed &= self._held[rows][:, spent] @ self._held[:, spent].T == 0
        if self._full:
            begun, of = self._begun(), self._held.argmax(1)
            allowed &= (begun[rows][:, None] ^ begun) | (~begun & (of[rows][:, None] == of) & ~begun[rows][:, None])
        return allowed

    def _begun(self) -> NDArray:
        """Which homes hold units of several networks."""
        return (self._held > 0).sum(1) > 1
