"""Transforms that change the weights of a graph and nothing else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.transforms import BaseTransform
from typing_extensions import override

from weightspace.graph.convert import edge_values, to_tensors
from weightspace.graph.data import ParameterGraph
from weightspace.graph.layout import GraphLayout


class WeightTransform(BaseTransform):
    """Graph to tensors, tensors to others, and these back onto the same edges.

    Args:
        layout: That the graphs were made with.
    """

    def __init__(self, layout: GraphLayout) -> None:
        self.layout = layout
        # What no graph carries, and no result depends on.
        self._buffers = {
            name: torch.zeros(()).expand(tensor.shape)
            for name, tensor in layout.spec.tensors.items()
            if tensor.kind == "buffer"
        }

    @abstractmethod
    def change(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Other weights for those of a network; buffers are there, as zeros."""

    @override
    def forward(self, data: ParameterGraph) -> ParameterGraph:
        """A graph, or a batch, with other weights.

        Raises:
            SpecError: A graph belongs to another spec.
        """
        return on_each(data, self._changed)

    def _changed(self, graph: ParameterGraph) -> ParameterGraph:
        values: Tensor = graph["edge_attr"]
        tensors = self.change(to_tensors(self.layout, graph) | self._buffers)
        graph.edge_attr = edge_values(self.layout, tensors, values.shape[1], values.dtype).to(values.device)
        return graph


def on_each(data: ParameterGraph, change: Callable[[ParameterGraph], ParameterGraph]) -> ParameterGraph:
    """What becomes of a graph, or of every graph of a batch."""
    if isinstance(data, Batch):
        graphs: list[Any] = data.to_data_list()
        return Batch.from_data_list([change(graph) for graph in graphs])  # pyright: ignore[reportReturnType]
    return change(data)
