"""Which units, whose signs do not count, lie at the ends of the edges of a parameter graph.

A sign freedom gives each unit of a group a sign, of which its weights take up theirs; a unit may have several, such as
those before and after a batch norm. Features that change with such a sign are kept per freedom and unit, and here it
says which of them an edge is changed by. Signs of units that tell apart entries on one edge, which have no nodes, are
left alone: to them the metanetwork is not invariant.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from weightspace.graph import Entries, GraphLayout
from weightspace.nn.gmn.wiring import Side, Wiring
from weightspace.nn.scale.units import freedoms_of, units_at
from weightspace.symmetry.freedom import Freedom


class Signs:
    """How rows of edges meet signed units.

    Args:
        wiring: How they meet nodes.

    Attributes:
        freedoms: The freedoms that are respected.
        units: Number of their units, all together.
        at: Of a side of the wiring which units change its places, int64 (most at one place, places); `units` for none.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, layout = wiring, wiring.layout
        found = {freedom: _ends(layout, freedom) for freedom in freedoms_of(layout, "sign")}
        ends = {freedom: each for freedom, each in found.items() if each is not None}
        self.freedoms = tuple(ends)
        counts = [math.prod(layout.spec.freedoms.shape(freedom)) for freedom in ends]
        self.units = sum(counts)
        places: dict[Side, list[list[Tensor]]] = {"source": [], "target": []}
        for number, (grid, parallel) in enumerate(zip(layout.grids, wiring.parallel, strict=True)):
            here: dict[Side, list[Tensor]] = {
                "source": [torch.full((grid.sources.numel() * parallel,), self.units)],
                "target": [torch.full((grid.targets.numel(),), self.units)],
            }
            start = 0
            for each, count in zip(ends.values(), counts, strict=True):
                for side, units in each.get(number, ()):
                    units = torch.where(units < count, units + start, self.units)
                    here[side].append(units.repeat_interleave(parallel if side == "source" else 1, 1).reshape(-1))
                start += count
            for side in places:
                places[side].append(here[side])
        self.at: dict[Side, Tensor] = {side: _table(each).to(wiring.sources.device) for side, each in places.items()}
        table = self.table()
        self._degrees = torch.bincount(table.reshape(-1), minlength=self.units + 1)[:-1, None].clamp(min=1)

    # ------------------------------------------------------------------ dense blocks

    def product(self, features: Tensor, side: Side, *, without: int | None = None) -> Tensor:
        """Products of the features of the units at every place of a side, (networks, places, channels); 1 for none.

        Args:
            features: (networks, units, channels).
            side: The side.
            without: Which of the units at a place to leave out.
        """
        return _product(_with_one(features), self.at[side], without)

    def gathered(self, said: Tensor, features: Tensor) -> Tensor:
        """What units hear (networks, units, channels): the mean over their edges, each of which changes as they do.

        Args:
            said: (rows, channels) of edges, which change by the signs of all units at their ends.
            features: (networks, units, channels), which make up for the signs of the others.
        """
        total = torch.zeros_like(_with_one(features))
        sides: tuple[tuple[Side, Side], ...] = (("target", "source"), ("source", "target"))
        for here, there in sides:
            beyond = self.wiring.beside(self.product(features, there), there)
            sums = self.wiring.sums(said * beyond, here)
            for number, units in enumerate(self.at[here]):
                total = total.index_add(1, units, sums * self.product(features, here, without=number))
        return total[:, :-1] / self._degrees.to(total.dtype)

    def turned(self, rows: Tensor, features: Tensor) -> Tensor:
        """Rows (rows, channels) times the features of all units at their ends."""
        for side in self.at:
            rows = rows * self.wiring.beside(self.product(features, side), side)
        return rows

    def signed(self, networks: int, dtype: torch.dtype) -> Tensor:
        """1 for rows that some sign changes, else 0, (rows, 1)."""
        sides = []
        for side, units in self.at.items():
            some = (units < self.units).any(0).to(dtype)
            sides.append(self.wiring.beside(some[None, :, None].expand(networks, -1, -1), side))
        return torch.maximum(*sides)

    # ------------------------------------------------------------------ edge by edge

    def table(self) -> Tensor:
        """Units at the ends of every edge of a graph, int64 (edges, most at one edge); `units` for none."""
        return torch.cat([self.wiring.beside(units.T[None], side) for side, units in self.at.items()], 1)


@lru_cache(maxsize=64)
def signs_of(wiring: Wiring) -> Signs:
    """The signed units of a wiring, found once."""
    return Signs(wiring)


def gathered_on_edges(table: Tensor, said: Tensor, features: Tensor) -> Tensor:
    """`Signs.gathered` edge by edge: slow and plain.

    Args:
        table: Units at the ends of every edge, (edges, most at one edge); the number of units for none.
        said: (edges, channels).
        features: (units, channels).
    """
    total, degrees = torch.zeros_like(_with_one(features)), said.new_zeros(len(features) + 1, 1)
    for number, units in enumerate(table.T):
        total = total.index_add(0, units, said * _product(_with_one(features), table.T, number))
        degrees = degrees.index_add(0, units, torch.ones_like(said[:, :1]))
    return (total / degrees.clamp(min=1))[:-1]


def turned_on_edges(table: Tensor, edges: Tensor, features: Tensor) -> Tensor:
    """`Signs.turned` edge by edge."""
    return edges * _product(_with_one(features), table.T, None)


def _table(grids: list[list[Tensor]]) -> Tensor:
    """(most at one place, places): units at the places of all grids, one after another. In each, none comes first."""
    most = max(2, *(len(each) for each in grids))
    return torch.cat([torch.stack([*each[1:], *each[:1] * (most - len(each))]) for each in grids], 1)


def _with_one(features: Tensor) -> Tensor:
    """Features of units, and the 1 that stands for none."""
    return torch.cat([features, features.new_ones(*features.shape[:-2], 1, features.shape[-1])], -2)


def _product(features: Tensor, table: Tensor, without: int | None) -> Tensor:
    product = features.new_ones(*features.shape[:-2], table.shape[1], features.shape[-1])
    for number, units in enumerate(table):
        if number != without:
            product = product * features[..., units, :]
    return product


def _ends(layout: GraphLayout, freedom: Freedom) -> dict[int, list[tuple[Side, Tensor]]] | None:
    """By grid on which side units of a freedom lie, (shared, own); None where they tell apart entries on an edge."""
    spec = layout.spec
    found: dict[int, list[tuple[Side, Tensor]]] = {}
    for number, entries in enumerate(layout.entries):
        for place in freedom.places:
            if place.tensor == entries.block.tensor and place.exponent % 2:
                units = units_at(spec, freedom, place)
                units = entries.arranged(entries.block.read(units)[None])[0]
                end = _end(entries, units)
                if end is None:
                    return None
                if end[1].min() < math.prod(spec.freedoms.shape(freedom)):
                    found.setdefault(number, []).append(end)
    return found


def _end(entries: Entries, units: Tensor) -> tuple[Side, Tensor] | None:
    """The side that numbers of units (shared, target, source, taps) depend on."""
    if bool((units == units[:, :, :1, :1]).all()):
        return "target", units[:, :, 0, 0]
    if bool((units == units[:, :1, :, :1]).all()):
        return "source", units[:, 0, :, 0]
    return None
