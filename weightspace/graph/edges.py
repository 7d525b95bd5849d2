"""Edges of a parameter graph: those that carry entries of parameters, and those that tell what belongs together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from weightspace.graph.nodes import NodeSet
from weightspace.symmetry.block import Block

EdgeRole = Literal["weight", "scale", "bias", "running_mean", "running_var", "vector", "scalar", "membership", "part"]
EDGE_ROLES: tuple[EdgeRole, ...] = (
    "weight", "scale", "bias", "running_mean", "running_var", "vector", "scalar", "membership", "part",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Grid:
    """Edges from every source to every target, for each of some shared indices.

    Attributes:
        role: What they carry; `membership` (from outer indices to inner ones) and `part` (from nodes to those of a
            product) carry nothing.
        part: Of structure: which outer group, or which factor; else 0.
        source: Set that edges come from.
        target: Set that they go to.
        sources: Nodes, int64 (shared, sources).
        targets: Nodes, int64 (shared, targets).
        depth: Place in the network, from 0 to 1.
    """

    role: EdgeRole
    part: int
    source: NodeSet
    target: NodeSet
    sources: Tensor
    targets: Tensor
    depth: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of (shared, target, source) indices."""
        return len(self.sources), self.targets.shape[1], self.sources.shape[1]

    @property
    def size(self) -> int:
        """Number of edges."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Entries:
    """A block of a parameter on edges: an entry, or several that differ in ordered indices only, on each.

    Where a block has one node dimension the source is the node of the parameter; where it has none, the target as well.

    Attributes:
        block: The block.
        grid: Its edges.
        order: Dimensions of the block as (shared..., target..., source..., taps...).
        taps: Entries on an edge.
    """

    block: Block
    grid: Grid
    order: tuple[int, ...]
    taps: int

    @property
    def fan_in(self) -> int:
        """Entries that add up to one value: those of a target, over all sources; 1 unless they are weights."""
        return self.grid.shape[2] * self.taps if self.grid.role == "weight" else 1

    def arranged(self, values: Tensor) -> Tensor:
        """Values of the block (networks, *block.shape) as (networks, shared, target, source, taps)."""
        return values.permute(0, *(1 + dim for dim in self.order)).reshape(len(values), *self.grid.shape, self.taps)

    def restored(self, values: Tensor) -> Tensor:
        """The inverse of `arranged`."""
        shape = [self.block.dims[dim].size for dim in self.order]
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return values.reshape(len(values), *shape).permute(0, *(1 + place for place in back))

    def carried(self, rows: Tensor) -> Tensor:
        """Where rows of edges (edges, width) hold the block, parallel edges side by side: a view of its shape."""
        sizes = [self.block.dims[dim].size for dim in self.order]
        entries = rows.view(self.grid.size, -1)[:, : self.taps].view(sizes)
        return entries.permute(sorted(range(len(self.order)), key=self.order.__getitem__))
