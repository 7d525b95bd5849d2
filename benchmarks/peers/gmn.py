"""A graph metanetwork as it is usually written, with PyTorch Geometric's MetaLayer (Lim et al. 2024, section 2).

Every single parameter is an edge, the taps of kernels too, and every edge is there in both directions, with a flag. In
a round `e' = MLP[x_s, x_d, e]`, `m = relu(W [x_s, e'])` and `x' = relu(W [x, mean m])` are computed edge by edge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MetaLayer, global_mean_pool
from torch_geometric.utils import scatter

from weightspace.graph import EDGE_ROLES, NODE_KINDS, ParameterGraph


class Edges(nn.Module):
    """The update of edges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, source: Tensor, target: Tensor, edges: Tensor, _: object, __: object) -> Tensor:
        """(edges, width)."""
        return edges + self.mlp(torch.cat([source, target, edges], -1))


class Nodes(nn.Module):
    """The update of nodes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message, self.node = nn.Linear(2 * width, width), nn.Linear(2 * width, width)

    def forward(self, nodes: Tensor, edge_index: Tensor, edges: Tensor, _: object, __: object) -> Tensor:
        """(nodes, width)."""
        messages = torch.relu(self.message(torch.cat([nodes[edge_index[0]], edges], -1)))
        heard = scatter(messages, edge_index[1], 0, len(nodes), "mean")
        return nodes + torch.relu(self.node(torch.cat([nodes, heard], -1)))


class NaiveMetanetwork(nn.Module):
    """Numbers for every network of a batch of graphs with one tap on an edge."""

    def __init__(self, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.kind, self.role = nn.Embedding(len(NODE_KINDS), width), nn.Embedding(2 * len(EDGE_ROLES), width)
        self.lift = nn.Linear(1, width)
        self.layers = nn.ModuleList(MetaLayer(Edges(width), Nodes(width)) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, graph: ParameterGraph) -> Tensor:
        """(networks, outputs)."""
        role, values = graph.block_role[graph.edge_block], self.lift(graph.edge_attr)
        edge_index = torch.cat([graph.edge_index, graph.edge_index.flip(0)], 1)
        edges = torch.cat([values + self.role(role), values + self.role(role + len(EDGE_ROLES))])
        nodes = self.kind(graph.set_kind[graph.node_set])
        for layer in self.layers:
            nodes, edges, _ = layer(nodes, edge_index, edges)
        return self.head(global_mean_pool(edges, graph.batch[edge_index[0]]))
