"""Parameter graphs: networks as graphs whose automorphisms are the network's symmetries."""

from weightspace.graph.convert import TAPS, to_graph, to_tensors
from weightspace.graph.data import ParameterGraph
from weightspace.graph.edges import EDGE_ROLES, Entries, Grid
from weightspace.graph.layout import GraphLayout, graph_layout
from weightspace.graph.nodes import NODE_KINDS, NodeSet

__all__ = [
    "EDGE_ROLES",
    "NODE_KINDS",
    "TAPS",
    "Entries",
    "GraphLayout",
    "Grid",
    "NodeSet",
    "ParameterGraph",
    "graph_layout",
    "to_graph",
    "to_tensors",
]
