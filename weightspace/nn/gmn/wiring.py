"""The edges of several networks of one layout as dense blocks, and what messages do on them.

Edges are rows. Those of a grid lie together, as (networks, shared, target, source), so that what comes from nodes is
broadcast into them and what goes to nodes is a sum over one dimension; there is no index for every edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from weightspace.graph import GraphLayout, Grid
from weightspace.nn.blocks import Blocks


class Wiring:
    """How rows of edges meet nodes.

    Args:
        layout: Of the graphs.
        taps: Entries on an edge; pairs of nodes that share more have parallel edges.
        device: Where they are computed on.

    Attributes:
        blocks: The blocks of the entries.
        sources: Nodes at the source side of all grids, int64 (places,).
        targets: Nodes at the target side, int64 (places,).
        parallel: Of every grid the number of parallel edges.
    """

    def __init__(self, layout: GraphLayout, taps: int, device: torch.device) -> None:
        self.layout, self.taps = layout, taps
        self.blocks = Blocks(layout.spec, layout.names)
        self.parallel = [math.ceil(each.taps / taps) for each in layout.entries] + [1] * len(layout.structure)
        grids = list(zip(layout.grids, self.parallel, strict=True))
        sources = [_sources(grid, parallel) for grid, parallel in grids]
        self._shapes = [(*grid.shape[:2], each.shape[1]) for (grid, _), each in zip(grids, sources, strict=True)]
        self.sources = torch.cat([each.reshape(-1) for each in sources]).to(device)
        self.targets = torch.cat([grid.targets.reshape(-1) for grid in layout.grids]).to(device)
        self._degrees = {side: self._counted(side) for side in ("source", "target")}

    @property
    def edges(self) -> int:
        """Edges of one network."""
        return sum(math.prod(shape) for shape in self._shapes)

    def views(self, rows: Tensor, networks: int) -> Iterator[tuple[Tensor, slice, slice]]:
        """Of every grid its rows (networks, shared, target, source, channels), its places among sources and targets."""
        at = source = target = 0
        for shared, targets, sources in self._shapes:
            count = networks * shared * targets * sources
            places = slice(source, source + shared * sources), slice(target, target + shared * targets)
            yield rows[at : at + count].view(networks, shared, targets, sources, -1), *places
            at, source, target = at + count, places[0].stop, places[1].stop

    def spread(self, sources: Tensor | None, targets: Tensor | None) -> Tensor:
        """Rows with what their nodes say: (networks, places, channels) at sources, at targets, or the sum of both."""
        return _Spread.apply(self, sources, targets)

    def gathered(self, rows: Tensor, networks: int, side: str) -> Tensor:
        """Sums of rows (rows, channels) over the edges of every place (networks, places, channels) of a side."""
        return _Gathered.apply(self, rows, networks, side)

    def degrees(self, side: str) -> Tensor:
        """Edges that end (`target`) or begin (`source`) at every node, at least 1, (nodes, 1)."""
        return self._degrees[side]

    def _counted(self, side: str) -> Tensor:
        nodes, own, other = (self.targets, 1, 2) if side == "target" else (self.sources, 2, 1)
        each = [torch.full((shape[0] * shape[own],), float(shape[other])) for shape in self._shapes]
        counts = torch.cat(each).to(nodes.device)
        return torch.zeros(self.layout.nodes, device=nodes.device).index_add_(0, nodes, counts).clamp_(min=1)[:, None]


@lru_cache(maxsize=64)
def wiring_of(layout: GraphLayout, taps: int, device: torch.device) -> Wiring:
    """The wiring of a layout, made once."""
    return Wiring(layout, taps, device)


def _sources(grid: Grid, parallel: int) -> Tensor:
    return grid.sources.repeat_interleave(parallel, 1)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, sources: Tensor | None, targets: Tensor | None) -> Tensor:
        some = targets if sources is None else sources
        assert some is not None
        networks, _, channels = some.shape
        ctx.wiring, ctx.networks, ctx.has = wiring, networks, (sources is not None, targets is not None)
        rows = some.new_empty(networks * wiring.edges, channels)
        for view, at_source, at_target in wiring.views(rows, networks):
            shared, target, source = view.shape[1:4]
            begin = None if sources is None else sources[:, at_source].view(networks, shared, 1, source, channels)
            end = None if targets is None else targets[:, at_target].view(networks, shared, target, 1, channels)
            if begin is not None and end is not None:
                torch.add(begin, end, out=view)
            else:
                view.copy_(begin if begin is not None else end)  # pyright: ignore[reportArgumentType]
        return rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows = grads[0].contiguous()
        sides = zip(("source", "target"), ctx.has, strict=True)
        return None, *(_sums(ctx.wiring, rows, ctx.networks, side) if has else None for side, has in sides)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, rows: Tensor, networks: int, side: str) -> Tensor:
        ctx.wiring, ctx.side = wiring, side
        return _sums(wiring, rows, networks, side)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        places = grads[0]
        spread = (places, None) if ctx.side == "source" else (None, places)
        return None, _Spread.apply(ctx.wiring, *spread), None, None


def _sums(wiring: Wiring, rows: Tensor, networks: int, side: str) -> Tensor:
    places = wiring.sources if side == "source" else wiring.targets
    sums = rows.new_empty(networks, len(places), rows.shape[1])
    for view, at_source, at_target in wiring.views(rows, networks):
        shared, target, source, channels = view.shape[1:]
        where, dim, count = (at_source, 2, source) if side == "source" else (at_target, 3, target)
        torch.sum(view, dim, out=sums[:, where].view(networks, shared, count, channels))
    return sums
