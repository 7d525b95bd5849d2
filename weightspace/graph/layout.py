"""The shape of a network's parameter graph, from its spec alone.

Nodes are the elements of every group (units, channels, heads, indices inside heads), and the indices of axes that stay
in place: the ordered inputs and outputs of the network, positions, words. Edges carry the entries of parameters.
Ordered trailing indices (the taps of a kernel, the pixels of a flattened channel) are features of one edge. Biases,
scales and running statistics lie on edges from one node per parameter. Inner indices of a wreath product (one set for
every head) are one node each, with edges from their outer ones; several groups on one axis meet in nodes of their
product. Indices that a residual connection adds up are one group, so they are one node. A tied tensor is one parameter.

So an automorphism of the graph, with nodes and edges of different sets told apart, is what the spec claims, no more
and no less (Lim et al. 2024, Graph metanetworks, section 3, for the graphs of layers that this follows from the spec).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from weightspace.graph.data import ParameterGraph
from weightspace.graph.edges import EdgeRole, Entries, Grid
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
        skeletons: What `weightspace.graph.skeleton` has made of it, by entries on an edge.
    """

    spec: Spec
    names: tuple[str, ...]
    sets: tuple[NodeSet, ...]
    entries: tuple[Entries, ...]
    structure: tuple[Grid, ...]
    skeletons: dict[int, ParameterGraph] = field(default_factory=dict, repr=False)

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """All edges, those that carry parameters first."""
        return (*(each.grid for each in self.entries), *self.structure)

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
    entries: list[Entries] = field(default_factory=list)
    structure: list[Grid] = field(default_factory=list)
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
        nodes = [self._nodes(end, block) for end in ends]
        nodes += [self._parameter(block) for _ in range(2 - len(ends))]
        target, source = (ends[place].dims if place < len(ends) else () for place in range(2))
        shared = [dim for dim in target if dim in source]
        left = [[dim for dim in dims if dim not in shared] for dims in (target, source)]
        apart = taps(block, ends)
        count = _size(block, shared)

        def at(which: int, dims: Sequence[int]) -> Tensor:
            """Nodes (shared, own) of an end."""
            order = [dims.index(dim) for dim in (*shared, *left[which])]
            return (
                nodes[which].nodes().reshape([block.dims[dim].size for dim in dims]).permute(order).reshape(count, -1)
            )

        grid = Grid(_role(block.tensor, len(ends)), 0, nodes[1], nodes[0], at(1, source), at(0, target), self.depth)
        self.entries.append(Entries(block, grid, (*shared, *left[0], *left[1], *apart), _size(block, apart)))

    def _nodes(self, end: Endpoint, block: Block) -> NodeSet:
        """The nodes of an end; its factors and outer groups first."""
        for tip in end.tips:
            self._tip(tip, block)
        if end.key in self.sets:
            return self.sets[end.key]
        nodes = self._new(end.key, block.tensor, "product", [block.dims[dim].size for dim in end.dims])
        for part, tip in enumerate(end.tips):
            self._connect("part", part, self.sets[tip.key], nodes, [end.dims.index(dim) for dim in tip.dims])
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
        for part, outer in enumerate(group.depends_on):
            if outer not in implied:
                above = (*self.groups[outer].depends_on, outer)
                self._connect(
                    "membership",
                    part,
                    self.sets["group", outer],
                    nodes,
                    [group.depends_on.index(each) for each in above],
                )

    def _parameter(self, block: Block) -> NodeSet:
        key = ("parameter", block.tensor)
        return self.sets[key] if key in self.sets else self._new(key, block.tensor, "parameter", [1])

    def _new(self, key: tuple[object, ...], name: str, kind: NodeKind, shape: Sequence[int]) -> NodeSet:
        self.sets[key] = NodeSet(name, kind, tuple(shape), self.count, self.depth)
        self.count += self.sets[key].size
        return self.sets[key]

    def _connect(self, role: EdgeRole, part: int, source: NodeSet, target: NodeSet, dims: Sequence[int]) -> None:
        """Connects every node of `source` with those of `target` that have its indices, on the dimensions `dims`."""
        rest = [dim for dim in range(len(target.shape)) if dim not in dims]
        targets = target.nodes().permute(*dims, *rest).reshape(source.size, -1)
        self.structure.append(Grid(role, part, source, target, source.nodes().reshape(-1, 1), targets, self.depth))


def _size(block: Block, dims: Sequence[int]) -> int:
    return math.prod(block.dims[dim].size for dim in dims)


def _role(tensor: str, ends: int) -> EdgeRole:
    if ends != 1:
        return "weight" if ends else "scalar"
    return _ROLES.get(tensor.rpartition(".")[2], "vector")
