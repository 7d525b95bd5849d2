"""Signs of units, fixed by what leans to one side around them.

The entries around a unit change their sign with the unit, and with the units at their other ends. Once those are
settled, the unit takes the sign under which the largest of its entries are positive: its entries, sorted, come before
their negatives, sorted. That does not depend on the order of the other units. One starts with tensors that no other
sign touches (biases, weights that read the input) and goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.gather import rows
from weightspace.symmetry.freedom import Freedom, Freedoms
from weightspace.symmetry.freedom.values import along


@dataclass(frozen=True, eq=False)
class Signs:
    """Signs of the units of some freedoms.

    Attributes:
        values: By freedom, 1 or -1 per unit.
        undecided: By freedom, which units have entries other than zero but lean to no side.
    """

    values: Mapping[str, Tensor]
    undecided: Mapping[str, Tensor]


def leaning(freedoms: Freedoms, chosen: Sequence[Freedom], tensors: Mapping[str, Tensor], *, tolerance: float) -> Signs:
    """The signs under which units lean to the positive side.

    Args:
        freedoms: The freedoms.
        chosen: Those whose signs are wanted: signs, or linear maps of which only signs are left.
        tensors: Weights by name.
        tolerance: Two magnitudes that differ by less, relatively, count as equal.
    """
    search = _Search(freedoms, chosen, tensors, tolerance)
    while search.sweep():
        pass
    undecided = {}
    for freedom in chosen:
        open_units = ~search.settled[freedom.name]
        undecided[freedom.name] = open_units & search.occupied(freedom)
    return Signs(search.values, undecided)


class _Search:
    def __init__(
        self, freedoms: Freedoms, chosen: Sequence[Freedom], tensors: Mapping[str, Tensor], tolerance: float
    ) -> None:
        self.freedoms = freedoms
        self.tensors = tensors
        self.tolerance = tolerance
        self.chosen = chosen
        shapes = {f.name: freedoms.shape(f)[: -1 if f.matrix else None] for f in chosen}
        self.values = {name: torch.ones(shape, dtype=torch.float64) for name, shape in shapes.items()}
        self.settled = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in shapes.items()}
        # What acts on a block: (freedom, dimensions of its units); an even power changes no sign.
        self.acting: dict[tuple[str, int], list[tuple[str, tuple[int, ...]]]] = {}
        for freedom in chosen:
            for place in freedom.places:
                if place.exponent % 2:
                    dims = (*freedoms.blocks[place.tensor][place.block].dims[place.dim].outer, place.dim)
                    self.acting.setdefault((place.tensor, place.block), []).append((freedom.name, dims))
        self._order = sorted(
            ((where, number) for where, each in self.acting.items() for number in range(len(each))),
            key=lambda key: (len(freedoms.blocks[key[0][0]][key[0][1]].dims), key),
        )

    def sweep(self) -> bool:
        """Settles the signs that what is settled so far decides; whether there were any. Small tensors come first."""
        found = False
        for where, number in self._order:
            name, dims = self.acting[where][number]
            open_units = ~self.settled[name]
            if not bool(open_units.any()):
                continue
            entries = self._read(where)
            for other, (partner, places) in enumerate(self.acting[where]):
                if other != number:
                    known = torch.where(self.settled[partner], self.values[partner], 0.0)
                    entries = entries * along(known, places, entries.dim())
            leans = torch.zeros_like(self.values[name])
            leans[open_units] = sides(rows(entries, dims)[open_units], self.tolerance)
            decided = open_units & (leans != 0)
            if bool(decided.any()):
                self.values[name] = torch.where(decided, leans, self.values[name])
                self.settled[name] = self.settled[name] | decided
                found = True
        return found

    def occupied(self, freedom: Freedom) -> Tensor:
        """Which units of a freedom have an entry other than zero."""
        found = torch.zeros_like(self.settled[freedom.name])
        for where, each in self.acting.items():
            for name, dims in each:
                if name == freedom.name:
                    found |= (rows(self._read(where), dims) != 0).any(-1)
        return found

    def _read(self, where: tuple[str, int]) -> Tensor:
        tensor, block = where
        return self.freedoms.blocks[tensor][block].read(self.tensors[tensor]).double()


def sides(entries: Tensor, tolerance: float) -> Tensor:
    """Per row 1 where its entries come before their negatives, -1 where they come after, 0 where they are the same."""
    ordered = entries.sort(dim=-1, descending=True).values
    negated = -ordered.flip(-1)
    difference = ordered - negated
    apart = difference.abs() > tolerance * (ordered.abs() + negated.abs())
    first = apart.to(torch.int8).argmax(-1, keepdim=True)
    return torch.where(apart.any(-1), difference.gather(-1, first).sign().squeeze(-1), 0.0)
