"""A metanetwork on dense matrices of nodes, written as Neural Graphs has it (Kofinas et al. 2024, section 3).

Every network is a matrix of edge features (nodes, nodes, width), edges that the network does not have included and
masked. The round of messages is the one of `weightspace.nn.gmn.layer`, so that only the form differs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weightspace.graph import EDGE_ROLES, ParameterGraph


class DenseLayer(nn.Module):
    """A round of messages over all pairs of nodes; messages come to entry [network, target, source]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.source, self.target = nn.Linear(width, width), nn.Linear(width, width)
        self.edge, self.update = nn.Linear(width, width), nn.Linear(width, width)
        self.along, self.against = nn.Linear(width, width), nn.Linear(width, width)
        self.from_source, self.from_target = nn.Linear(width, width), nn.Linear(width, width)
        self.node, self.out = nn.Linear(3 * width, width), nn.Linear(width, width)

    def forward(self, nodes: Tensor, edges: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(networks, nodes, width), (networks, nodes, nodes, width), (nodes, nodes, 1)."""
        seen = self.norm(nodes)
        inside = self.source(seen)[:, None, :] + self.target(seen)[:, :, None] + self.edge(edges)
        edges = edges + self.update(torch.relu(inside))
        along = torch.relu(self.along(edges) + self.from_source(seen)[:, None, :]) * mask
        against = torch.relu(self.against(edges) + self.from_target(seen)[:, :, None]) * mask
        arrived = along.sum(2) / mask.sum(1).clamp(min=1)
        returned = against.sum(1) / mask.sum(0).clamp(min=1)
        return nodes + self.out(torch.relu(self.node(torch.cat([seen, arrived, returned], -1)))), edges


class DenseMetanetwork(nn.Module):
    """Numbers for every network of one architecture."""

    def __init__(self, graph: ParameterGraph, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.lift = nn.Linear(graph.edge_attr.shape[1], width)
        self.role = nn.Embedding(len(EDGE_ROLES) + 1, width)
        self.place = nn.Parameter(torch.randn(int(graph.num_nodes or 0), width) * 0.1)
        self.layers = nn.ModuleList(DenseLayer(width) for _ in range(layers))
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, outputs)
        )
        source, target = graph.edge_index
        roles = torch.full((len(self.place), len(self.place)), len(EDGE_ROLES))
        roles[target, source] = graph.block_role[graph.edge_block]
        self.register_buffer("roles", roles)
        self.register_buffer("mask", (roles < len(EDGE_ROLES)).float()[..., None])

    def forward(self, values: Tensor) -> Tensor:
        """Weights as matrices (networks, nodes, nodes, taps) to (networks, outputs)."""
        edges = self.lift(values) + self.role(self.roles)
        nodes = self.place.expand(len(values), -1, -1)
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, self.mask)
        read = (edges * self.mask).sum((1, 2)) / self.mask.sum()
        return self.head(torch.cat([read, nodes.mean(1)], -1))


def matrices(graphs: list[ParameterGraph]) -> Tensor:
    """Weights (networks, nodes, nodes, taps), 0 where there is no edge."""
    count, taps = int(graphs[0].num_nodes or 0), graphs[0].edge_attr.shape[1]
    found = torch.zeros(len(graphs), count, count, taps)
    for number, graph in enumerate(graphs):
        source, target = graph.edge_index
        found[number, target, source] = graph.edge_attr.float()
    return found
