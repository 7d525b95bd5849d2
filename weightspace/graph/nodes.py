"""Nodes of a parameter graph: sets of them, one for every group, boundary, product of groups, or parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

NodeKind = Literal["unit", "ordered", "fixed", "product", "parameter"]
NODE_KINDS: tuple[NodeKind, ...] = ("unit", "ordered", "fixed", "product", "parameter")


@dataclass(frozen=True)
class NodeSet:
    """Nodes that have one meaning.

    Attributes:
        name: Of a group its name; of others what they belong to.
        kind: `unit`: indices of a group, one node for every index of it and of the groups it depends on; `ordered`:
            those of a group that nothing moves; `fixed`: indices of an axis that stay in place; `product`: every
            combination of nodes of several sets, where these lie side by side on one axis; `parameter`: the one node
            that stands for a tensor.
        shape: Number of indices, (outer ones..., own).
        start: Number of its first node.
        depth: Where it comes first, from 0 for the first tensor of the network to 1 for the last.
    """

    name: str
    kind: NodeKind
    shape: tuple[int, ...]
    start: int
    depth: float

    @property
    def size(self) -> int:
        """Number of nodes."""
        return math.prod(self.shape)

    @property
    def keeps_order(self) -> bool:
        """Whether each of its last indices is a different thing, so that nodes are told apart by them."""
        return self.kind in ("ordered", "fixed")

    def nodes(self) -> Tensor:
        """Numbers of the nodes, int64 of `shape`."""
        return torch.arange(self.start, self.start + self.size).reshape(self.shape)

    def indices(self) -> Tensor:
        """What tells nodes apart, int64 (nodes,): the last index where order is kept, else 0."""
        if not self.keeps_order:
            return torch.zeros(self.size, dtype=torch.int64)
        return torch.arange(self.size) % self.shape[-1]
