"""The first features of nodes and edges: what they are, where they lie, and the weights they carry.

A weight is taken times the square root of its fan-in, so that networks of other widths look alike (Lim et al. 2024),
then standardised by numbers of the training networks, one mean and deviation for each role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from weightspace.graph import EDGE_ROLES, NODE_KINDS, Entries, ParameterGraph
from weightspace.nn.gmn.positions import WIDTH, positions
from weightspace.nn.gmn.stacked import Stacked
from weightspace.nn.gmn.wiring import Wiring

_DEPTH = 100.0  # places between the first and the last tensor
_SMALLEST = 1e-6  # deviation


class Lift(nn.Module):
    """Features of nodes and edges before any message.

    Args:
        width: Channels.
        taps: Entries on an edge.
        centred: Whether means are taken off; a weight that changes its sign would not do so any more.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, taps: int, *, centred: bool = True) -> None:
        super().__init__()
        self.width, self.taps, self.centred = width, taps, centred
        self.values = nn.Parameter(torch.randn(len(EDGE_ROLES), taps, width) * taps**-0.5)
        self.role = nn.Embedding(len(EDGE_ROLES), width)
        self.edge_place, self.chunk_place = nn.Linear(2 * WIDTH, width), nn.Linear(WIDTH, width)
        self.kind = nn.Embedding(len(NODE_KINDS), width)
        self.node_place = nn.Linear(2 * WIDTH, width)
        self.register_buffer("mean", torch.zeros(len(EDGE_ROLES)))
        self.register_buffer("deviation", torch.ones(len(EDGE_ROLES)))

    # ------------------------------------------------------------------ standardisation

    @torch.no_grad()
    def fit(self, batches: Iterable[Stacked | ParameterGraph]) -> None:
        """Takes means and deviations from networks; of the training split, and of no others."""
        sums = torch.zeros(3, len(EDGE_ROLES), dtype=torch.float64)
        for batch in batches:
            for role, values in _stacked_values(batch) if isinstance(batch, Stacked) else _graph_values(batch):
                wide = values.double().cpu()
                sums[:, role] += torch.stack([torch.tensor(float(wide.numel())), wide.sum(), wide.square().sum()])
        count = sums[0].clamp(min=1)
        mean = sums[1] / count * self.centred
        deviation = (sums[2] / count - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > _SMALLEST, deviation, 1.0))

    def scale_of(self, role: int | Tensor, fan_in: int | Tensor) -> Tensor:
        """What one unit of a standardised value is in the network."""
        root = torch.as_tensor(fan_in, device=self.deviation.device).to(self.deviation.dtype).sqrt()
        return self.deviation[role] / root

    # ------------------------------------------------------------------ dense blocks

    def on_blocks(self, wiring: Wiring, tensors: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Nodes (networks, nodes, width) and rows of edges (rows, width).

        Args:
            wiring: Of the layout.
            tensors: The block of each of its entries (networks, *block.shape).
        """
        tensors = list(tensors)
        rows = [
            (values + places).reshape(-1, self.width)
            for values, places in self._grids(wiring, tensors, len(tensors[0]))
        ]
        return self._nodes(wiring, len(tensors[0])), torch.cat(rows)

    def apart(self, wiring: Wiring, tensors: Iterable[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """As `on_blocks`, with two kinds of rows, whose sum are those: of weights alone, and of where they lie."""
        tensors = list(tensors)
        grids = list(self._grids(wiring, tensors, len(tensors[0])))
        values = torch.cat([values.reshape(-1, self.width) for values, _ in grids])
        places = torch.cat([places.expand_as(values).reshape(-1, self.width) for values, places in grids])
        return self._nodes(wiring, len(tensors[0])), values, places

    def _grids(self, wiring: Wiring, tensors: Iterable[Tensor], networks: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Of every grid what weights say (edges, parallel, width), and where they lie (parallel, width)."""
        layout, device = wiring.layout, self.mean.device
        blocks = self._blocks(
            torch.tensor([EDGE_ROLES.index(grid.role) for grid in layout.grids], device=device),
            torch.tensor([grid.part for grid in layout.grids], device=device),
            torch.tensor([grid.depth for grid in layout.grids], device=device, dtype=self.mean.dtype),
        )
        chunks = self._chunks(torch.arange(max(wiring.parallel), device=device))
        for entries, values, constant, parallel in zip(layout.entries, tensors, blocks, wiring.parallel, strict=False):
            yield self._values(entries, values, parallel), constant + chunks[:parallel]
        for grid, constant in zip(layout.structure, blocks[len(layout.entries) :], strict=True):
            yield constant.new_zeros(1, 1, 1).expand(networks * grid.size, 1, self.width), constant + chunks[:1]

    def _nodes(self, wiring: Wiring, networks: int) -> Tensor:
        layout, device = wiring.layout, self.mean.device
        sets = self._sets(
            torch.tensor([NODE_KINDS.index(each.kind) for each in layout.sets], device=device),
            torch.tensor([each.depth for each in layout.sets], device=device, dtype=self.mean.dtype),
            torch.cat([each.indices() for each in layout.sets]).to(device),
            torch.arange(len(layout.sets), device=device).repeat_interleave(
                torch.tensor([each.size for each in layout.sets], device=device)
            ),
        )
        return sets.expand(networks, -1, -1)

    def _values(self, entries: Entries, values: Tensor, parallel: int) -> Tensor:
        """(networks, edges between two nodes that differ, parallel, width)."""
        role = EDGE_ROLES.index(entries.grid.role)
        arranged = (entries.arranged(values) * entries.fan_in**0.5 - self.mean[role]) / self.deviation[role]
        padded = nn.functional.pad(arranged, (0, parallel * self.taps - entries.taps))
        return padded.reshape(-1, parallel, self.taps) @ self.values[role]

    # ------------------------------------------------------------------ any graph

    def on_graph(self, graph: ParameterGraph) -> tuple[Tensor, Tensor]:
        """Nodes (nodes, width) and edges (edges, width) of a graph, or of a batch of them."""
        nodes, values, places = self.apart_on_graph(graph)
        return nodes, values + places

    def apart_on_graph(self, graph: ParameterGraph) -> tuple[Tensor, Tensor, Tensor]:
        """As `apart`, of a graph."""
        block = graph.edge_block
        blocks = self._blocks(graph.block_role, graph.block_part, graph.block_depth)
        edges = blocks[block] + self._chunks(graph.edge_chunk)
        role, fan_in = graph.block_role[block], graph.block_fan_in[block].to(self.mean.dtype)
        values = (graph.edge_attr * fan_in.sqrt()[:, None] - self.mean[role][:, None]) / self.deviation[role][:, None]
        values = torch.where(carried(graph), values, 0.0)
        lifted = torch.zeros_like(edges)
        for number in range(len(EDGE_ROLES)):
            lifted = lifted.index_add(0, *_of_role(role == number, values, self.values[number]))
        return self._sets(graph.set_kind, graph.set_depth, graph.node_index, graph.node_set), lifted, edges

    # ------------------------------------------------------------------ what does not depend on weights

    def _blocks(self, role: Tensor, part: Tensor, depth: Tensor) -> Tensor:
        depth = (depth * _DEPTH).to(self.mean.dtype)
        places = torch.cat([positions(depth), positions(part.to(depth.dtype))], -1)
        return self.role(role) + self.edge_place(places)

    def _chunks(self, chunk: Tensor) -> Tensor:
        return self.chunk_place(positions(chunk.to(self.mean.dtype)))

    def _sets(self, kind: Tensor, depth: Tensor, index: Tensor, of: Tensor) -> Tensor:
        depth = positions((depth * _DEPTH).to(self.mean.dtype))[of]
        return self.kind(kind)[of] + self.node_place(torch.cat([depth, positions(index.to(depth.dtype))], -1))


def carried(graph: ParameterGraph) -> Tensor:
    """Which numbers of `edge_attr` are entries of parameters, bool of its shape."""
    taps = graph.edge_attr.shape[1]
    place = graph.edge_chunk[:, None] * taps + torch.arange(taps, device=graph.edge_attr.device)
    return place < graph.block_taps[graph.edge_block][:, None]


def _of_role(chosen: Tensor, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    where = chosen.nonzero()[:, 0]
    return where, values[where] @ weight


def _stacked_values(batch: Stacked) -> Iterator[tuple[int, Tensor]]:
    for each in batch.layout.entries:
        block = each.block
        values = torch.stack([block.read(tensor) for tensor in batch.tensors[block.tensor]])
        yield EDGE_ROLES.index(each.grid.role), values * each.fan_in**0.5


def _graph_values(graph: ParameterGraph) -> Iterator[tuple[int, Tensor]]:
    role, real = graph.block_role[graph.edge_block], carried(graph)
    scaled = graph.edge_attr * graph.block_fan_in[graph.edge_block].to(graph.edge_attr.dtype).sqrt()[:, None]
    for number in role.unique().tolist():
        chosen = role == number
        yield number, scaled[chosen][real[chosen]]
