"""The edges of several networks of one layout as dense blocks, and what messages do on them.

Edges are rows. Those of a grid lie together, as (networks, shared, target, source), so that what comes from nodes is
broadcast into them and what goes to nodes is a sum over one dimension; there is no index for every edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from weightspace.graph import GraphLayout, Grid
from weightspace.nn.blocks import Blocks

Side = Literal["source", "target"]


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
        self._degrees: dict[Side, Tensor] = {"source": self._counted("source"), "target": self._counted("target")}

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

    def spread(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Rows (rows, channels) with the sum of what their ends say.

        Args:
            sources: (networks, places, channels) at the source side.
            targets: The same at the target side.
        """
        return _Spread.apply(self, sources, targets)

    def heard(self, rows: Tensor, said: Tensor, side: Side) -> Tensor:
        """What places hear (networks, places, channels): the sum of relu(row + said at the other end) over their edges.

        Args:
            rows: (rows, channels).
            said: (networks, places, channels) at the other side.
            side: Where it is heard.
        """
        return _Heard.apply(self, rows, said, side)

    def beside(self, places: Tensor, side: Side) -> Tensor:
        """Rows (rows, channels) with what their end at a side says.

        Args:
            places: (networks, places, channels) at that side.
            side: Which end.
        """
        return _Copies.apply(self, places, side)

    def sums(self, rows: Tensor, side: Side) -> Tensor:
        """What rows add up to at the places of a side (networks, places, channels): the adjoint of `beside`."""
        return _Sums.apply(self, rows, side)

    def peaks(self, rows: Tensor, side: Side) -> Tensor:
        """The largest of rows at every node (networks, nodes, channels), -inf where none ends; it has no gradient."""
        index, networks = self.targets if side == "target" else self.sources, len(rows) // self.edges
        found = torch.cat(
            [view.detach().amax(3 if side == "target" else 2).flatten(1, 2) for view, *_ in self.views(rows, networks)],
            1,
        )
        peaks = found.new_full((networks, self.layout.nodes, found.shape[-1]), -torch.inf)
        return peaks.scatter_reduce(1, index[:, None].expand_as(found), found, "amax")

    def degrees(self, side: Side) -> Tensor:
        """Edges that end (`target`) or begin (`source`) at every node, at least 1, (nodes, 1)."""
        return self._degrees[side]

    def _counted(self, side: Side) -> Tensor:
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
    def forward(ctx: Any, wiring: Wiring, sources: Tensor, targets: Tensor) -> Tensor:
        ctx.wiring = wiring
        rows = sources.new_empty(len(sources) * wiring.edges, sources.shape[-1])
        for view, at_source, at_target in wiring.views(rows, len(sources)):
            torch.add(_beside(sources[:, at_source], view, 2), _beside(targets[:, at_target], view, 3), out=view)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows = grads[0].contiguous()
        return None, _sums(ctx.wiring, rows, "source"), _sums(ctx.wiring, rows, "target")


class _Copies(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, places: Tensor, side: Side) -> Tensor:
        ctx.wiring, ctx.side = wiring, side
        return _copies(wiring, places, side)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, _sums(ctx.wiring, grads[0].contiguous(), ctx.side), None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, rows: Tensor, side: Side) -> Tensor:
        ctx.wiring, ctx.side = wiring, side
        return _sums(wiring, rows, side)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, _copies(ctx.wiring, grads[0], ctx.side), None


class _Heard(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, rows: Tensor, said: Tensor, side: Side) -> Tensor:
        ctx.wiring, ctx.side = wiring, side
        messages = torch.empty_like(rows)
        for (view, *at), (message, *_) in zip(
            wiring.views(rows, len(said)), wiring.views(messages, len(said)), strict=True
        ):
            torch.add(view, _beside(said[:, at[side == "source"]], view, 2 + (side == "source")), out=message)
        ctx.save_for_backward(messages.relu_())
        return _sums(wiring, messages, side)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (messages,) = ctx.saved_tensors
        wiring, side, networks = ctx.wiring, ctx.side, len(grads[0])
        rows = torch.empty_like(messages)
        for (view, *at), (message, *_) in zip(
            wiring.views(rows, networks), wiring.views(messages, networks), strict=True
        ):
            heard = _beside(grads[0][:, at[side == "target"]], view, 2 + (side == "target")).expand_as(view)
            torch.ops.aten.threshold_backward.grad_input(heard, message, 0, grad_input=view)
        return None, rows, _sums(wiring, rows, "source" if side == "target" else "target"), None


def _beside(places: Tensor, view: Tensor, dim: int) -> Tensor:
    """Places of a grid (networks, places, channels), broadcastable with its rows, which have one dimension more."""
    networks, shared, target, source, channels = view.shape
    return places.reshape(networks, shared, source if dim == 2 else target, channels).unsqueeze(dim)


def _copies(wiring: Wiring, places: Tensor, side: Side) -> Tensor:
    """(rows, channels): every row what its place at a side says."""
    rows = places.new_empty(len(places) * wiring.edges, places.shape[-1])
    for view, *at in wiring.views(rows, len(places)):
        view.copy_(_beside(places[:, at[side == "target"]], view, 2 + (side == "target")))
    return rows


def _sums(wiring: Wiring, rows: Tensor, side: Side) -> Tensor:
    """(networks, places, channels): the sum over the edges of every place of a side."""
    places = wiring.sources if side == "source" else wiring.targets
    networks = len(rows) // wiring.edges
    sums = rows.new_empty(networks, len(places), rows.shape[1])
    for view, at_source, at_target in wiring.views(rows, networks):
        shared, target, source, channels = view.shape[1:]
        where, dim, count = (at_source, 2, source) if side == "source" else (at_target, 3, target)
        torch.sum(view, dim, out=sums[:, where].view(networks, shared, count, channels))
    return sums
