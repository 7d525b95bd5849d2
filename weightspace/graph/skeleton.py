"""All of a parameter graph but the weights: the same for every network of a spec."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from weightspace.graph.data import ParameterGraph
from weightspace.graph.edges import EDGE_ROLES, Entries, Grid
from weightspace.graph.layout import GraphLayout
from weightspace.graph.nodes import NODE_KINDS


def skeleton(layout: GraphLayout, taps: int) -> ParameterGraph:
    """The graph of a layout without `edge_attr`, made once for each number of entries on an edge.

    Args:
        layout: Of the spec.
        taps: Entries on one edge.
    """
    if taps not in layout.skeletons:
        layout.skeletons[taps] = _skeleton(layout, taps)
    return layout.skeletons[taps]


def parallel(entries: Entries, taps: int) -> int:
    """Number of parallel edges that carry what two nodes share."""
    return math.ceil(entries.taps / taps)


def _skeleton(layout: GraphLayout, taps: int) -> ParameterGraph:
    sets, grids = layout.sets, layout.grids
    rows = [parallel(each, taps) for each in layout.entries] + [1] * len(layout.structure)
    edges = sum(grid.size * count for grid, count in zip(grids, rows, strict=True))
    # Written in place, grid by grid: with copies in between large networks would take several times the memory.
    edge_index = torch.empty(2, edges, dtype=torch.int64)
    edge_block, edge_chunk = torch.empty(2, edges, dtype=torch.int64)
    for block, (grid, count, part) in enumerate(zip(grids, rows, _parts(grids, rows), strict=True)):
        shape = (*grid.shape, count)
        edge_index[0, part].view(shape).copy_(grid.sources[:, None, :, None])
        edge_index[1, part].view(shape).copy_(grid.targets[:, :, None, None])
        edge_block[part] = block
        edge_chunk[part].view(shape).copy_(torch.arange(count))
    bare = len(layout.structure)
    return ParameterGraph(
        num_nodes=layout.nodes,
        edge_index=edge_index,
        edge_block=edge_block,
        edge_chunk=edge_chunk,
        node_set=torch.arange(len(sets)).repeat_interleave(torch.tensor([each.size for each in sets])),
        node_index=torch.cat([each.indices() for each in sets]),
        set_kind=torch.tensor([NODE_KINDS.index(each.kind) for each in sets]),
        set_depth=_depths(each.depth for each in sets),
        set_size=torch.tensor([each.shape[-1] for each in sets]),
        block_role=torch.tensor([EDGE_ROLES.index(grid.role) for grid in grids]),
        block_part=torch.tensor([grid.part for grid in grids]),
        block_depth=_depths(grid.depth for grid in grids),
        block_taps=torch.tensor([each.taps for each in layout.entries] + [0] * bare),
        block_fan_in=torch.tensor([each.fan_in for each in layout.entries] + [1] * bare),
        spec_hash=layout.spec.hash,
    )


def _parts(grids: tuple[Grid, ...], rows: list[int]) -> Iterator[slice]:
    start = 0
    for grid, count in zip(grids, rows, strict=True):
        yield slice(start, start := start + grid.size * count)


def _depths(depths: Iterator[float]) -> Tensor:
    return torch.tensor(list(depths), dtype=torch.float64)
