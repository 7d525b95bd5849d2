"""The automorphisms of a parameter graph, all of them, are the symmetries that the spec claims: no more, no fewer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.symmetry.networks import Network, with_input
from weightspace.graph import GraphLayout, ParameterGraph, graph_layout, to_graph
from weightspace.symmetry import Element, Spec, derive
from weightspace.symmetry.axis import FixedAxis, GroupAxis, ProductAxis
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import TensorSpec


class Attention(nn.Module):
    """Grouped queries without positions, inside of two layers; with norms of queries and keys or without."""

    def __init__(self, heads: int, shared: int, width: int, *, norm: bool = False) -> None:
        super().__init__()
        self.heads, self.shared, self.width = heads, shared, width
        self.q, self.k, self.v = nn.Linear(2, heads * width), nn.Linear(2, shared * width), nn.Linear(2, shared * width)
        self.o = nn.Linear(heads * width, 2)
        self.q_norm, self.k_norm = (nn.RMSNorm(width) if norm else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.q_norm(self.q(x).view(n, t, self.heads, self.width)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(n, t, self.shared, self.width)).transpose(1, 2)
        v = self.v(x).view(n, t, self.shared, self.width).transpose(1, 2)
        k, v = (each.repeat_interleave(self.heads // self.shared, 1) for each in (k, v))
        y = F.softmax(q @ k.transpose(-1, -2), -1) @ v
        return self.o(y.transpose(1, 2).reshape(n, t, -1))


def mlp() -> Network:
    return with_input(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), 1, 2)


def grouped_convolution() -> Network:
    layers = [nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 2, 1)]
    return with_input(nn.Sequential(*layers), 1, 1, 4, 4)


class Recurrent(nn.Module):
    """Whose state is read after two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": mlp,
    "grouped convolution": grouped_convolution,
    "group norm": lambda: with_input(
        nn.Sequential(nn.Conv2d(1, 6, 1), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 2, 1)), 1, 1, 3, 3
    ),
    "gated recurrent": lambda: with_input(Recurrent(), 1, 2, 2),
    "heads": lambda: with_input(Attention(2, 2, 3), 1, 3, 2),
    "grouped queries": lambda: with_input(Attention(4, 2, 2), 1, 3, 2),
    "queries and keys with norms": lambda: with_input(Attention(4, 2, 2, norm=True), 1, 3, 2),
    "depthwise": lambda: with_input(
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 2, 1)), 1, 1, 4, 4
    ),
    "flattened": lambda: with_input(
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)), 1, 1, 2, 2
    ),
}  # fmt: skip


def experts() -> Spec:
    """What no layer above has: a tensor whose three axes have groups, independent, and one group twice."""
    a, b, c = GroupAxis("a", 2), GroupAxis("b", 3), GroupAxis("c", 2)
    tensors = {"t.weight": (a, b, c), "u.weight": (ProductAxis((a, b)), c), "v.weight": (b, b), "w.bias": (a,)}
    groups = (Group("a", 2), Group("b", 3), Group("c", 2))
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def ordered_heads() -> Spec:
    """Heads that stay in place, with inner indices that move."""
    head = ProductAxis((GroupAxis("heads", 2), GroupAxis("inner", 3)))
    tensors = {"v.weight": (head, FixedAxis(2)), "v.bias": (head,), "o.weight": (FixedAxis(2), head)}
    groups = (Group("heads", 2, (), ()), Group("inner", 3, ("heads",)))
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


SPECS: dict[str, Callable[[], Spec]] = {"three axes": experts, "ordered heads": ordered_heads}


def spec_named(name: str) -> Spec:
    if name in SPECS:
        return SPECS[name]()
    module, args, kwargs = NETWORKS[name]()
    return derive(module.eval(), args, kwargs)


@pytest.mark.parametrize("name", [*NETWORKS, *SPECS])
def test_automorphisms_are_the_symmetries_of_the_spec(name: str) -> None:
    spec = spec_named(name)
    layout = graph_layout(spec)
    # Every entry of every tensor is another number, so that equal graphs are equal networks.
    sizes = {tensor: math.prod(spec.tensors[tensor].shape) for tensor in layout.names}
    state = {
        tensor: torch.arange(size, dtype=torch.float64).reshape(spec.tensors[tensor].shape) + 1000 * place
        for place, (tensor, size) in enumerate(sizes.items())
    }
    graph, count = to_graph(layout, state), 0
    for nodes in automorphisms(graph):
        count += 1
        moved = to_graph(layout, spec.apply(element(layout, nodes), state))
        assert torch.equal(edges(moved), edges(graph, nodes))
    assert count == order(spec) > 1


def order(spec: Spec) -> int:
    """Number of elements of the group."""
    sizes = {group.name: group.size for group in spec.all_groups}
    return math.prod(
        math.factorial(group.size) ** math.prod(sizes[outer] for outer in group.depends_on) for group in spec.groups
    )


def automorphisms(graph: ParameterGraph) -> Iterator[Tensor]:
    """All of them, by search: for every node the one that it goes to. Values do not count, sets and blocks do."""
    count = graph.num_nodes or 0
    kinds = list(zip(graph.node_set.tolist(), graph.node_index.tolist(), strict=True))
    labels: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for ends, *label in zip(
        graph.edge_index.T.tolist(), graph.edge_block.tolist(), graph.edge_chunk.tolist(), strict=True
    ):
        labels.setdefault((ends[0], ends[1]), []).append((label[0], label[1]))
    numbers: dict[tuple[tuple[int, int], ...], int] = {}
    between = np.zeros((count, count), dtype=np.int64)
    for (source, target), found in labels.items():
        between[source, target] = numbers.setdefault(tuple(sorted(found)), len(numbers) + 1)
    chosen: list[int] = []

    def fits(node: int, candidate: int) -> bool:
        before = list(range(node))
        return (
            kinds[node] == kinds[candidate]
            and between[node, node] == between[candidate, candidate]
            and bool((between[node, before] == between[candidate, chosen]).all())
            and bool((between[before, node] == between[chosen, candidate]).all())
        )

    def search(node: int) -> Iterator[Tensor]:
        if node == count:
            yield torch.tensor(chosen)
            return
        for candidate in range(count):
            if candidate not in chosen and fits(node, candidate):
                chosen.append(candidate)
                yield from search(node + 1)
                chosen.pop()

    yield from search(0)


def element(layout: GraphLayout, nodes: Tensor) -> Element:
    """The element that moves units as an automorphism moves their nodes: old node -> new node."""
    old = torch.empty_like(nodes)
    old[nodes] = torch.arange(len(nodes))
    perms = {}
    for group in layout.spec.groups:
        found = layout.set_of(group.name)
        perms[group.name] = (old[found.nodes()] - found.start) % group.size
    return Element(layout.spec.all_groups, perms)


def edges(graph: ParameterGraph, nodes: Tensor | None = None) -> Tensor:
    """Every edge with its ends (moved), block, chunk and values, in an order that depends on nothing else."""
    ends = graph.edge_index if nodes is None else nodes[graph.edge_index]
    rows = torch.cat([ends.T.double(), graph.edge_block[:, None], graph.edge_chunk[:, None], graph.edge_attr], 1)
    return rows[sorted(range(len(rows)), key=rows.tolist().__getitem__)]
