"""Graph networks of PyG's convolutions: two layers on one small graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import nn as pyg

from suites import Case
from weightspace.source import Inputs
from weightspace.source.construction import construct

NODES, EDGES, IN, HIDDEN, OUT, FEATURES, RELATIONS = 11, 40, 6, 12, 4, 3, 3
Layer = Callable[..., nn.Module]  # (features before, features after)


class Graph(nn.Module):
    """Two convolutions with a ReLU between them and a linear layer behind."""

    def __init__(self, layer: Layer, width: int) -> None:
        super().__init__()
        self.first, self.second = layer(IN, HIDDEN), layer(width, HIDDEN)
        self.head = nn.Linear(width, OUT)

    def forward(self, x: Tensor, *graph: Tensor) -> Tensor:
        x = F.relu(self.first(x, *graph))
        return self.head(F.relu(self.second(x, *graph)))


class Constant(nn.Module):
    """Linear layers around convolutions that keep their width."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, OUT)
        self.first, self.second = layer(HIDDEN, HIDDEN), layer(HIDDEN, HIDDEN)

    def forward(self, x: Tensor, *graph: Tensor) -> Tensor:
        x = F.relu(self.enter(x))
        x = F.relu(self.first(x, *graph))
        return self.leave(F.relu(self.second(x, *graph)))


class Initial(Constant):
    """As `Constant`, for layers that look at their first input again."""

    def forward(self, x: Tensor, *graph: Tensor) -> Tensor:
        x = start = F.relu(self.enter(x))
        x = F.relu(self.first(x, start, *graph))
        return self.leave(F.relu(self.second(x, start, *graph)))


def cases() -> list[Case]:
    plain: dict[str, Layer] = {
        "GCNConv": pyg.GCNConv,
        "ChebConv": partial(pyg.ChebConv, K=3),
        "SAGEConv": pyg.SAGEConv,
        "SAGEConv, max": partial(pyg.SAGEConv, aggr="max"),
        "SAGEConv, projected": partial(pyg.SAGEConv, project=True),
        "GraphConv": pyg.GraphConv,
        "ResGatedGraphConv": pyg.ResGatedGraphConv,
        "GATConv, one head": pyg.GATConv,
        "GATConv, mean of heads": partial(pyg.GATConv, heads=3, concat=False),
        "GATv2Conv, mean of heads": partial(pyg.GATv2Conv, heads=3, concat=False),
        "TransformerConv, mean of heads": partial(pyg.TransformerConv, heads=3, concat=False),
        "TransformerConv, beta": partial(pyg.TransformerConv, beta=True),
        "SuperGATConv": pyg.SuperGATConv,
        "TAGConv": pyg.TAGConv,
        "GINConv": lambda i, o: pyg.GINConv(_mlp(i, o), train_eps=True),
        "ARMAConv": partial(pyg.ARMAConv, num_stacks=2, num_layers=2),
        "SGConv": partial(pyg.SGConv, K=2),
        "SSGConv": partial(pyg.SSGConv, alpha=0.1, K=2),
        "MFConv": partial(pyg.MFConv, max_degree=5),
        "EdgeConv": lambda i, o: pyg.EdgeConv(_mlp(2 * i, o)),
        "FeaStConv": partial(pyg.FeaStConv, heads=2),
        "HypergraphConv": pyg.HypergraphConv,
        "LEConv": pyg.LEConv,
        "ClusterGCNConv": pyg.ClusterGCNConv,
        "GENConv": pyg.GENConv,
        "FiLMConv": pyg.FiLMConv,
        "EGConv": partial(pyg.EGConv, num_heads=4, num_bases=3),
        "GeneralConv": pyg.GeneralConv,
        "DirGNNConv": lambda i, o: pyg.DirGNNConv(pyg.SAGEConv(i, o, root_weight=False)),
        "PNAConv": lambda i, o: pyg.PNAConv(
            i, o, ["mean", "max", "std"], ["identity", "amplification"], torch.tensor([0, 2, 3, 3, 2, 1]), towers=1
        ),
    }
    with_edges: dict[str, Layer] = {
        "GINEConv": lambda i, o: pyg.GINEConv(_mlp(i, o), edge_dim=FEATURES),
        "GATConv, edges": partial(pyg.GATConv, edge_dim=FEATURES),
        "NNConv": lambda i, o: pyg.NNConv(i, o, _mlp(FEATURES, i * o)),
        "GMMConv": partial(pyg.GMMConv, dim=FEATURES, kernel_size=4),
        "PDNConv": partial(pyg.PDNConv, edge_dim=FEATURES, hidden_channels=8),
    }
    wide: dict[str, Layer] = {
        "GATConv, heads": partial(pyg.GATConv, heads=3),
        "GATv2Conv, heads": partial(pyg.GATv2Conv, heads=3),
        "TransformerConv, heads": partial(pyg.TransformerConv, heads=3),
        "MixHopConv": pyg.MixHopConv,
    }
    constant: dict[str, Layer] = {
        "AGNNConv": lambda i, o: pyg.AGNNConv(),
        "APPNP": lambda i, o: pyg.APPNP(K=3, alpha=0.1),
        "LGConv": lambda i, o: pyg.LGConv(),
        "GatedGraphConv": lambda i, o: pyg.GatedGraphConv(o, num_layers=2),
        "CGConv": lambda i, o: pyg.CGConv(i),
        "AntiSymmetricConv": lambda i, o: pyg.AntiSymmetricConv(i),
        "GPSConv": lambda i, o: pyg.GPSConv(i, pyg.GCNConv(i, i), heads=2),
    }
    relational: dict[str, Layer] = {
        "RGCNConv": partial(pyg.RGCNConv, num_relations=RELATIONS),
        "RGCNConv, bases": partial(pyg.RGCNConv, num_relations=RELATIONS, num_bases=2),
        "RGATConv": partial(pyg.RGATConv, num_relations=RELATIONS),
    }
    initial: dict[str, Layer] = {
        "GCN2Conv": lambda i, o: pyg.GCN2Conv(i, alpha=0.1, theta=0.5, layer=1),
        "FAConv": lambda i, o: pyg.FAConv(i, eps=0.1),
    }
    found = [_case(name, partial(Graph, layer, HIDDEN)) for name, layer in plain.items()]
    found += [_case(name, partial(Graph, layer, HIDDEN), "features") for name, layer in with_edges.items()]
    found += [_case(name, partial(Graph, layer, 3 * HIDDEN)) for name, layer in wide.items()]
    found += [_case(name, partial(Constant, layer)) for name, layer in constant.items()]
    found += [_case(name, partial(Graph, layer, HIDDEN), "relations") for name, layer in relational.items()]
    found += [_case(name, partial(Initial, layer)) for name, layer in initial.items()]
    return found


def _case(name: str, create: Callable[[], nn.Module], edges: str = "") -> Case:
    return Case(f"PyG {name.partition(',')[0]}", name, partial(_build, create, edges))


def _build(create: Callable[[], nn.Module], edges: str) -> tuple[nn.Module, Inputs]:
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(NODES, (2, EDGES), generator=generator)
    graph: list[Any] = [torch.randn(NODES, IN, generator=generator), ends[:, ends[0] != ends[1]]]
    count = graph[1].shape[1]
    if edges == "features":
        graph.append(torch.rand(count, FEATURES, generator=generator))
    elif edges == "relations":
        graph.append(torch.randint(RELATIONS, (count,), generator=generator))
    return construct(create, meta=False).eval(), Inputs(tuple(graph))


def _mlp(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, after))
