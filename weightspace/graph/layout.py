"""The shape of a network's parameter graph, from its spec alone.

Nodes are the elements of every group (units, channels, heads, indices inside heads), and the indices of axes that stay in
place: the ordered inputs and outputs of the network, positions, words. Edges carry the entries of parameters. Ordered
trailing indices (the taps of a kernel, the pixels of a flattened channel) are features of one edge. Biases, scales and
running statistics lie on edges from one node per parameter. Inner indices of a wreath product (one set for every head)
are one node each, with edges from their outer ones; several groups on one axis meet in nodes of their product. Indices
that a residual connection adds up are one group, so they are one node. A tied tensor is one parameter.

So an automorphism of the graph, with nodes and edges of different sets told apart, is what the spec claims, no more
and no less (Lim et al. 2024, Graph metanetworks, section 3, for the graphs of layers that this follows from the spec).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from weightspace.graph.edges import EdgeRole, EntryEdges, StructureEdges
from weightspace.graph.endpoint import Endpoint, Tip, endpoints, taps
from weightspace.graph.nodes import NodeKind, NodeSet
from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block

_ROLES: dict[str, EdgeRole] = {
    "weight": "scale", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GraphLayout:
    """Nodes and edges of the parameter graph of every network of a spec.

    Attributes:
        spec: The spec.
        names: The tensors on its edges: parameters and running statistics, each tied one once.
        sets: Sets of nodes.
        entries: Edges that carry parameters, a block each.
        structure: Edges that tell what belongs together.
    """

    spec: Spec
    names: tuple[str, ...]
    sets: tuple[NodeSet, ...]
    entries: tuple[EntryEdges, ...]
    structure: tuple[StructureEdges, ...]

    @cached_property
    def nodes(self) -> int:
        """Number of nodes."""
        return sum(each.size for each in self.sets)

    def set_of(self, name: str) -> NodeSet:
        """The nodes of a group, by its name."""
        return next(each for each in self.sets if each.name == name and each.kind in ("unit", "ordered"))


def graph_layout(spec: Spec) -> GraphLayout:
    """Lays out the parameter graph of a spec.

    Args:
        spec: Of any network.
    """
    return _Builder(spec).build()


@dataclass
class _Builder:
    spec: Spec
    sets: dict[tuple[object, ...], NodeSet] = field(default_factory=dict)
    entries: list[EntryEdges] = field(default_factory=list)
    structure: list[StructureEdges] = field(default_factory=list)
    count: int = 0

    def build(self) -> GraphLayout:
        names = tuple(name for name, tensor in self.spec.tensors.items() if tensor.kind != "buffer")
        self.groups = {group.name: group for group in self.spec.all_groups}
        for place, name in enumerate(names):
            self.depth = place / max(1, len(names) - 1)
            for block in self.spec.blocks[name]:
                self._add(block)
        return GraphLayout(self.spec, names, tuple(self.sets.values()), tuple(self.entries), tuple(self.structure))

    def _add(self, block: Block) -> None:
        ends = endpoints(block)
        apart = taps(block, ends)
        targets = self._nodes(ends[0], block) if ends else self._parameter(block)
        sources = self._nodes(ends[1], block) if len(ends) > 1 else self._parameter(block)
        target, source = ends[0].dims if ends else (), ends[1].dims if len(ends) > 1 else ()
        shared = [dim for dim in target if dim in source]
        left = [[dim for dim in dims if dim not in shared] for dims in (target, source)]
        sizes = [_size(block, dims) for dims in (shared, *left, apart)]

        def at(nodes: NodeSet, dims: Sequence[int], own: Sequence[int]) -> torch.Tensor:
            order = [dims.index(dim) for dim in (*shared, *own)]
            return nodes.nodes().reshape([block.dims[dim].size for dim in dims]).permute(order).reshape(sizes[0], -1)

        self.entries.append(
            EntryEdges(
                block, _role(block.tensor, len(ends)), sources, targets, (*shared, *left[0], *left[1], *apart),
                (sizes[0], sizes[1], sizes[2], sizes[3]), at(sources, source, left[1]), at(targets, target, left[0]),
                self.depth,
            )
        )  # fmt: skip

    def _nodes(self, end: Endpoint, block: Block) -> NodeSet:
        """The nodes of an end; its factors and outer groups first."""
        for tip in end.tips:
            self._tip(tip, block)
        if end.key in self.sets:
            return self.sets[end.key]
        nodes = self._new(end.key, block.tensor, "product", [block.dims[dim].size for dim in end.dims])
        for part, tip in enumerate(end.tips):
            sources = self.sets[tip.key]
            grid = _grid(nodes.shape)
            where = [grid[end.dims.index(dim)] for dim in tip.dims]
            self._connect("part", sources, nodes, part, where)
        return nodes

    def _tip(self, tip: Tip, block: Block) -> None:
        if tip.key in self.sets:
            return
        if tip.key[0] == "group":
            self._group(str(tip.key[1]))
        else:
            self._new(tip.key, f"{tip.key[1]}.{tip.key[2]}", "fixed", [block.dims[dim].size for dim in tip.dims])

    def _group(self, name: str) -> None:
        if ("group", name) in self.sets:
            return
        group = self.groups[name]
        for outer in group.depends_on:
            self._group(outer)
        shape = [self.groups[outer].size for outer in group.depends_on] + [group.size]
        nodes = self._new(("group", name), name, "unit" if group.movable else "ordered", shape)
        # What depends on another outer group tells that one already.
        implied = {above for outer in group.depends_on for above in self.groups[outer].depends_on}
        grid = dict(zip(group.depends_on, _grid(shape), strict=False))
        for part, outer in enumerate(group.depends_on):
            if outer not in implied:
                where = [grid[above] for above in (*self.groups[outer].depends_on, outer)]
                self._connect("membership", self.sets["group", outer], nodes, part, where)

    def _parameter(self, block: Block) -> NodeSet:
        key = ("parameter", block.tensor)
        return self.sets[key] if key in self.sets else self._new(key, block.tensor, "parameter", [1])

    def _new(self, key: tuple[object, ...], name: str, kind: NodeKind, shape: Sequence[int]) -> NodeSet:
        self.sets[key] = NodeSet(name, kind, tuple(shape), self.count, self.depth)
        self.count += self.sets[key].size
        return self.sets[key]

    def _connect(
        self, role: EdgeRole, source: NodeSet, target: NodeSet, part: int, where: Sequence[torch.Tensor]
    ) -> None:
        """Connects every node of `target` with the one of `source` at the indices `where`, of the target's shape."""
        edges = torch.stack([source.nodes()[tuple(where)].reshape(-1), target.nodes().reshape(-1)])
        self.structure.append(StructureEdges(role, source, target, part, edges))


def _grid(shape: Sequence[int]) -> tuple[torch.Tensor, ...]:
    return torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij")


def _size(block: Block, dims: Sequence[int]) -> int:
    return math.prod(block.dims[dim].size for dim in dims)


def _role(tensor: str, ends: int) -> EdgeRole:
    if ends != 1:
        return "weight" if ends else "scalar"
    return _ROLES.get(tensor.rpartition(".")[2], "vector")
