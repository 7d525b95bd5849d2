"""Measures: what the numbers around a unit say about it, whatever the order of the units around it.

A measure gives a key for every unit of a dimension of a relation. It depends on the entries and on the ranks of the
cells of the other units only, so that it is the same for every numbering of the units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from weightspace.canonical.cells import Cells
from weightspace.canonical.gather import gathered
from weightspace.canonical.relations import Relation
from weightspace.symmetry.freedom.values import along

Keys = tuple[Tensor, Tensor | None]  # a key per unit, and how far apart keys must be to differ (None: exact keys)

CLOSE = 0.0625  # rounding errors, as a share of the tolerance

# ---------------------------------------------------------------------- exact


@dataclass(frozen=True)
class Exact:
    """Keys that are the same bit for bit for every numbering: sums of integers.

    Attributes:
        signed_zeros: Whether 0.0 and -0.0 are different numbers.
    """

    signed_zeros: bool = True
    kinds: ClassVar[int] = 1  # how many seeds in a row must split nothing before it is certain that none will

    def norms(self, relation: Relation, dim: int) -> Keys:
        """Squares as integers, so that their sum does not depend on the order."""
        entries = relation.entries.double()
        largest = _largest(relation.entries)
        units = relation.units(dim)
        if largest == 0.0:
            return torch.zeros([entries.shape[place] for place in units], dtype=torch.float64), None
        bits = 61 - math.ceil(math.log2(entries.numel() + 1))
        squares = ((entries / largest).square_() * 2.0**bits).round_().long()
        return gathered(squares, units).double() / float(squares.sum()), None

    def keys(self, relation: Relation, dim: int, cells: Cells, seed: int) -> Keys:
        """A hash of the multiset of (entry, cells of the other units), summed modulo 2^64."""
        units = relation.units(dim)
        return gathered(self._tagged(relation, cells, units, seed), units), None

    def fingerprint(self, relation: Relation, cells: Cells, seed: int) -> Keys:
        """A hash of the multiset of (entry, cells of its units)."""
        return self._tagged(relation, cells, (), seed).sum(), None

    def _tagged(self, relation: Relation, cells: Cells, untagged: tuple[int, ...], seed: int) -> Tensor:
        """A hash of every entry together with the cells of its units."""
        bits = _mixed(self._bits(relation.entries))
        for place, each in enumerate(relation.dims):
            if place not in untagged:
                tags = _mixed(cells.rank(each.group, each.size) + _mixed(torch.tensor(seed * 64 + place)))
                bits = bits + along(tags, relation.units(place), len(relation.dims))
        return _mixed(bits)

    def add(self, first: Keys, second: Keys) -> Keys:
        """Norms add up; hashes are mixed first, so that relations do not change places."""
        if first[0].dtype == torch.int64:
            return _mixed(first[0]) + second[0], None
        return first[0] + second[0], None

    def alike(self, first: Tensor, second: Tensor) -> bool:
        """Bit for bit."""
        return torch.equal(self._bits(first), self._bits(second))

    def _bits(self, entries: Tensor) -> Tensor:
        exact = entries.double()  # every narrower type fits in
        return (exact if self.signed_zeros else exact + 0.0).view(torch.int64)


def _largest(entries: Tensor) -> float:
    """The largest magnitude; 0 where there are no entries."""
    if not entries.numel():
        return 0.0
    low, high = torch.aminmax(entries if entries.is_floating_point() else entries.double())
    return max(-float(low), float(high))


def _mixed(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), modulo 2^64."""
    x = x + -0x61C8864680B583EB
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


# ---------------------------------------------------------------------- up to rounding


@dataclass(frozen=True)
class Rounded:
    """Keys in floating point, with allowance for rounding.

    Attributes:
        tolerance: Relative to the size of what is summed.
        growth: By how much rounding errors have grown before.
    """

    tolerance: float
    growth: float = 1.0
    kinds: ClassVar[int] = 3  # powers of the entries, of which each may see what the others do not

    @property
    def doubt(self) -> float:
        """How far rounding may move the gap between two keys, as a share of what is allowed."""
        return CLOSE * self.growth

    def norms(self, relation: Relation, dim: int) -> Keys:
        """Squared lengths."""
        squares = relation.entries.double().square()
        total = float(squares.sum())
        keys = gathered(squares, relation.units(dim)) / (total or 1.0)
        return keys, self.tolerance * keys

    def keys(self, relation: Relation, dim: int, cells: Cells, seed: int) -> Keys:
        """A random projection of a power of the entries, with one weight per cell of the other units."""
        return self._projected(relation, cells, relation.units(dim), seed)

    def fingerprint(self, relation: Relation, cells: Cells, seed: int) -> Keys:
        """A random projection of the entries, with one weight per cell of their units."""
        return self._projected(relation, cells, (), seed * self.kinds)

    def _projected(self, relation: Relation, cells: Cells, units: tuple[int, ...], seed: int) -> Keys:
        power = 1 + seed % self.kinds
        entries = relation.entries.double()
        largest = _largest(relation.entries)
        values = (entries / (largest or 1.0)) ** power
        operands: list[object] = []
        # Innermost dimensions first: what others lie in can be summed over only after them.
        places = sorted(range(len(relation.dims)), key=lambda place: (-len(relation.dims[place].outer), place))
        for place in places:
            each = relation.dims[place]
            if place not in units:
                weights = _weights(cells.rank(each.group, each.size), seed * 64 + place)
                operands += [weights, list(relation.units(place))]
        every = list(range(len(relation.dims)))
        keys = torch.einsum(values, every, *operands, list(units))
        squares = [(operand * operand if isinstance(operand, Tensor) else operand) for operand in operands]
        size = torch.einsum(values * values, every, *squares, list(units)).clamp_(min=0).sqrt_()
        return keys, self.tolerance * (size + keys.abs())

    def add(self, first: Keys, second: Keys) -> Keys:
        """The sum, with the sum of what is allowed."""
        assert first[1] is not None
        assert second[1] is not None
        return first[0] + second[0], first[1] + second[1]

    def alike(self, first: Tensor, second: Tensor) -> bool:
        """Up to rounding."""
        if not first.numel():
            return True
        first, second = first.double(), second.double()
        return float((first - second).abs().max()) <= self.tolerance * float((first.abs() + second.abs()).max())


def _weights(ranks: Tensor, seed: int) -> Tensor:
    """A random weight for every rank, the same in every run."""
    table = torch.randn(
        int(ranks.max()) + 1 if ranks.numel() else 0,
        generator=torch.Generator().manual_seed(seed + 1),
        dtype=torch.float64,
    )
    return table[ranks]


Measure: TypeAlias = Exact | Rounded
