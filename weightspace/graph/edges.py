"""Edges of a parameter graph: those that carry the entries of a parameter, and those that tell what belongs together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from weightspace.graph.nodes import NodeSet
from weightspace.symmetry.block import Block

EdgeRole = Literal[
    "weight", "scale", "bias", "running_mean", "running_var", "vector", "scalar", "membership", "part"
]  # fmt: skip
EDGE_ROLES: tuple[EdgeRole, ...] = (
    "weight", "scale", "bias", "running_mean", "running_var", "vector", "scalar", "membership", "part",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class EntryEdges:
    """The edges of a block of a parameter: an entry, or several that differ in ordered indices only, on each.

    The block's dimensions, put into the order `order`, are (shared..., target..., source..., taps...): an edge goes
    from the node at (shared, source) to that at (shared, target), and carries all taps. Where a block has one node
    dimension the source is the node of the parameter; where it has none, the target as well.

    Attributes:
        block: The block.
        role: What the parameter is.
        source: Set that edges come from.
        target: Set that they go to.
        order: Dimensions of the block in this order.
        sizes: Number of (shared, target, source, tap) indices.
        sources: Nodes, int64 (shared, source).
        targets: Nodes, int64 (shared, target).
        depth: Place of the parameter in the network, from 0 to 1.
    """

    block: Block
    role: EdgeRole
    source: NodeSet
    target: NodeSet
    order: tuple[int, ...]
    sizes: tuple[int, int, int, int]
    sources: Tensor
    targets: Tensor
    depth: float

    def pairs(self) -> Tensor:
        """(source, target) of every edge, int64 (2, shared * target * source), the source running fastest."""
        shape = self.sizes[:3]
        sources, targets = self.sources[:, None, :].expand(shape), self.targets[:, :, None].expand(shape)
        return torch.stack([sources.reshape(-1), targets.reshape(-1)])

    def arranged(self, values: Tensor) -> Tensor:
        """Values of the block (networks, *block.shape) as (networks, shared, target, source, taps)."""
        order = [1 + dim for dim in self.order]
        return values.permute(0, *order).reshape(len(values), *self.sizes)

    def restored(self, values: Tensor) -> Tensor:
        """The inverse of `arranged`."""
        shape = [self.block.dims[dim].size for dim in self.order]
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return values.reshape(len(values), *shape).permute(0, *(1 + place for place in back))


@dataclass(frozen=True, eq=False)
class StructureEdges:
    """Edges without a value: from outer indices to inner ones (`membership`), from nodes to their product (`part`).

    Attributes:
        role: Which of the two.
        source: Set that edges come from.
        target: Set that they go to.
        part: Which outer group, or which factor.
        edges: (source, target), int64 (2, edges).
    """

    role: EdgeRole
    source: NodeSet
    target: NodeSet
    part: int
    edges: Tensor


def chunks(taps: int, width: int) -> int:
    """How many parallel edges of a width carry so many taps."""
    return max(1, math.ceil(taps / width))
