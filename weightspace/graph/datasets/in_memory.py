"""Parameter graphs in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch_geometric.data import Data, InMemoryDataset
from typing_extensions import override

from weightspace.graph.convert import TAPS
from weightspace.graph.data import ParameterGraph
from weightspace.graph.datasets.layouts import Layouts
from weightspace.graph.datasets.network import Network
from weightspace.graph.datasets.reading import Reader, Transform
from weightspace.graph.datasets.rows import graph_of


class GraphDataset(InMemoryDataset):
    """Parameter graphs of networks of any architectures, held in memory.

    Held are the bare weights: what networks of one spec have in common is there once. `dataset.y` are the targets of
    all networks (networks, metrics). A graph goes back to tensors with `to_tensors(dataset.layouts[graph.spec_hash],
    graph)`, and `graph.network` says which one it is.

    Args:
        networks: Each is read once, and no code of its file is run.
        transform: Changes every graph on access.
        pre_transform: Changes every graph once, before it is held; its weights and targets only.
        taps: Entries on one edge; models need the same.

    Attributes:
        layouts: By hash of the spec.
        target_names: The metrics, in the order of `y`.

    Raises:
        WeightspaceError: A network cannot be read or is not what was said, or a target is no finite number; the message
            names the network.
    """

    layouts: Layouts
    target_names: tuple[str, ...]

    def __init__(
        self,
        networks: Iterable[Network],
        *,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        taps: int = TAPS,
    ) -> None:
        super().__init__(None, transform, pre_transform)
        reader = Reader(pre_transform, taps)
        self._data, self.slices = self.collate([Data.from_dict(row) for row in reader.rows(networks)])
        self.layouts, self.target_names, self._taps = reader.layouts, reader.target_names, taps

    @override
    def get(self, idx: int) -> ParameterGraph:
        return graph_of(self.layouts, super().get(idx).to_dict(), self._taps)

    @override
    def copy(self, idx: Any = None) -> GraphDataset:
        chosen = self if idx is None else self.index_select(idx)
        rows = [InMemoryDataset.get(self, place) for place in chosen.indices()]
        dataset = copy.copy(self)
        dataset._indices, dataset._data_list = None, None
        dataset._data, dataset.slices = self.collate(rows)
        return dataset
