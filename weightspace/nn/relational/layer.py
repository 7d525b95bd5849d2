"""One round of a relational transformer on a parameter graph.

A node attends over all edges that end or begin there. With x and e normalised (layer norm) wherever they are read, the
edge e between a node i and the node j at its other end has

    q = Q x_i + Qe e,   k = K x_j + Ke e,   v = (V x_j) * (Ge e) + Ve e

and the node takes the mean of v, weighted by the softmax of q . k / sqrt(channels of a head) over its edges; then come
two layers of its own, and of every edge, e' = e + W2 gelu(Ws x_s + Wt x_t + We e). This is Diao and Loynd 2023,
section 3, with values that edges modulate (Kofinas et al. 2024, Neural Graphs, section 3). There all pairs of nodes
attend to each other; here those do that share a parameter. Q, K and V are others where the node is the source.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter, softmax

from weightspace.errors import SpecError
from weightspace.nn.gmn.wiring import Side, Wiring

HEADS = 4


class RelationalLayer(nn.Module):
    """A round of attention; the same function on dense blocks and on any graph.

    Args:
        width: Channels of nodes and edges.

    Raises:
        SpecError: The heads do not divide the channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % HEADS:
            raise SpecError(f"expected a width that {HEADS} heads divide, found {width}; take a multiple of {HEADS}")
        self.width = width
        self.node_norm, self.edge_norm, self.inner_norm, self.ends_norm = (nn.LayerNorm(width) for _ in range(4))
        self.of_nodes = nn.Linear(width, 6 * width)  # Q, K, V of targets that listen, then of sources
        self.of_edges = nn.Linear(width, 4 * width, bias=False)  # Qe, Ke, Ge, Ve
        self.heard = nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.ends = nn.Linear(width, 2 * width)  # Ws, Wt
        self.edge, self.update = (nn.Linear(width, width, bias=False) for _ in range(2))  # We, W2

    # ------------------------------------------------------------------ dense blocks

    def on_blocks(self, wiring: Wiring, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Of networks of one layout.

        Args:
            wiring: Of the layout.
            nodes: (networks, nodes, width).
            edges: (rows, width), in the order of the wiring.

        Returns:
            Nodes and edges, updated.
        """
        seen = self.edge_norm(edges)
        to_target, to_source = self.of_nodes(self.node_norm(nodes)).split(3 * self.width, -1)
        modulation = self.of_edges(seen)
        sides: list[tuple[Side, Tensor, Tensor]] = [
            ("target", *self._side(wiring, to_target, modulation, "target")),
            ("source", *self._side(wiring, to_source, modulation, "source")),
        ]
        # One softmax over edges of both directions: sums of exponentials, less the largest logit of the node.
        peaks = torch.stack([wiring.peaks(logits, side) for side, logits, _ in sides]).amax(0)
        total = nodes.new_zeros(*nodes.shape[:2], HEADS)
        mixed = torch.zeros_like(nodes)
        for side, logits, values in sides:
            index = wiring.targets if side == "target" else wiring.sources
            weights = (logits - wiring.beside(peaks[:, index], side)).exp()
            total = total.index_add(1, index, wiring.sums(weights, side))
            mixed = mixed.index_add(1, index, wiring.sums(self._weighted(weights, values), side))
        total = total.clamp(min=1)  # the largest exponential of a node is 1, and a node without edges has none
        nodes = self._nodes(nodes, self._weighted(1 / total, mixed))
        of_source, of_target = self.ends(self.ends_norm(nodes)).split(self.width, -1)
        inside = wiring.spread(of_source[:, wiring.sources], of_target[:, wiring.targets])
        return nodes, self._edges(edges, inside + self.edge(seen))

    def _side(self, wiring: Wiring, projected: Tensor, modulation: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """Logits (rows, heads) and values (rows, width) of edges for the nodes at a side."""
        other: Side = "source" if side == "target" else "target"
        here, there = (wiring.targets, wiring.sources) if side == "target" else (wiring.sources, wiring.targets)
        query, rest = projected.split([self.width, 2 * self.width], -1)
        key, value = wiring.beside(rest[:, there], other).split(self.width, -1)
        return self._said(wiring.beside(query[:, here], side), key, value, modulation)

    # ------------------------------------------------------------------ any graph

    def on_graph(self, edge_index: Tensor, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Of any graph, edge by edge: slow and plain.

        Args:
            edge_index: (source, target), int64 (2, edges).
            nodes: (nodes, width).
            edges: (edges, width).
        """
        source, target = edge_index
        seen = self.edge_norm(edges)
        to_target, to_source = self.of_nodes(self.node_norm(nodes)).split(3 * self.width, -1)
        modulation = self.of_edges(seen)
        logits, values = [], []
        for projected, here, there in ((to_target, target, source), (to_source, source, target)):
            query, key, value = projected.split(self.width, -1)
            said = self._said(query[here], key[there], value[there], modulation)
            logits.append(said[0])
            values.append(said[1])
        hears = torch.cat([target, source])
        weights = softmax(torch.cat(logits), hears, num_nodes=len(nodes))
        mixed = scatter(self._weighted(weights, torch.cat(values)), hears, 0, len(nodes), "sum")
        nodes = self._nodes(nodes, mixed)
        of_source, of_target = self.ends(self.ends_norm(nodes)).split(self.width, -1)
        return nodes, self._edges(edges, of_source[source] + of_target[target] + self.edge(seen))

    # ------------------------------------------------------------------ shared

    def _said(self, query: Tensor, key: Tensor, value: Tensor, modulation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (edges, heads) and values (edges, width) of what ends say (edges, width) and edges add."""
        of_query, of_key, factor, shift = modulation.split(self.width, -1)
        products = (query + of_query) * (key + of_key)
        size = self.width // HEADS
        return products.unflatten(-1, (HEADS, size)).sum(-1) * size**-0.5, value * factor + shift

    def _weighted(self, weights: Tensor, values: Tensor) -> Tensor:
        """Values (..., width) times weights (..., heads)."""
        return (values.unflatten(-1, (HEADS, -1)) * weights[..., None]).flatten(-2)

    def _nodes(self, nodes: Tensor, mixed: Tensor) -> Tensor:
        nodes = nodes + self.heard(mixed)
        return nodes + self.inner(self.inner_norm(nodes))

    def _edges(self, edges: Tensor, inside: Tensor) -> Tensor:
        return edges + self.update(nn.functional.gelu(inside))
