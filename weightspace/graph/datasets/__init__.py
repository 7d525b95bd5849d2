"""Datasets of parameter graphs, for PyTorch Geometric's loaders: in memory, and on disk."""

from weightspace.graph.datasets.in_memory import GraphDataset
from weightspace.graph.datasets.layouts import Layouts
from weightspace.graph.datasets.network import Network
from weightspace.graph.datasets.on_disk import OnDiskGraphDataset

__all__ = ["GraphDataset", "Layouts", "Network", "OnDiskGraphDataset"]
