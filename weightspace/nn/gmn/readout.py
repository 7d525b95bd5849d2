"""What a network is, from the features of its nodes and edges: means over layers, which wide ones do not outweigh."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from weightspace.graph import EDGE_ROLES, ParameterGraph
from weightspace.nn.gmn.wiring import Wiring
from weightspace.nn.heads import InvariantHead

_STRUCTURE = EDGE_ROLES.index("membership")  # roles from here on carry no parameter


def read_blocks(wiring: Wiring, nodes: Tensor, edges: Tensor) -> Tensor:
    """(networks, 2 * width): the mean over blocks of the mean over edges, and that over sets of the mean over nodes.

    Args:
        wiring: Order of the rows.
        nodes: (networks, nodes, width).
        edges: (rows, width).
    """
    networks = len(nodes)
    views = wiring.views(edges, networks)
    blocks = [view.flatten(1, 3).mean(1) for _, (view, _, _) in zip(wiring.layout.entries, views, strict=False)]
    sets = [nodes[:, each.start : each.start + each.size].mean(1) for each in wiring.layout.sets]
    return torch.cat([torch.stack(blocks).mean(0), torch.stack(sets).mean(0)], -1)


def read_graph(graph: ParameterGraph, nodes: Tensor, edges: Tensor) -> Tensor:
    """The same of a graph, or of a batch of them.

    Args:
        graph: The graph.
        nodes: (nodes, width).
        edges: (edges, width).
    """
    of_node = graph["batch"] if "batch" in graph else torch.zeros_like(graph.node_set)
    networks = int(of_node.max()) + 1
    found = []
    for features, place, batch, kinds in (
        (edges, graph.edge_block, of_node[graph.edge_index[0]], graph.block_role),
        (nodes, graph.node_set, of_node, torch.full_like(graph.set_kind, -1)),
    ):
        means = scatter(features, place, 0, len(kinds), "mean")
        network = scatter(batch, place, 0, len(kinds), "max")
        counted = kinds < _STRUCTURE
        found.append(scatter(means[counted], network[counted], 0, networks, "mean"))
    return torch.cat(found, -1)


def head(width: int, outputs: int) -> nn.Module:
    """From what was read (networks, 2 * width) to what is predicted (networks, outputs)."""
    return nn.Sequential(nn.LayerNorm(2 * width), InvariantHead(2 * width, outputs, hidden=width, depth=1))
