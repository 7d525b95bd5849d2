"""A parameter graph as PyTorch Geometric has graphs: batches may hold networks of any architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch_geometric.data import Data

if TYPE_CHECKING:
    from torch import Tensor

# Which attribute counts what an index attribute points to.
_POINTS_TO = {"node_set": "set_kind", "edge_block": "block_role"}


class ParameterGraph(Data):
    """The weights of one network as a graph (or of several, when batched).

    Attributes:
        edge_index: (source, target) of every edge, int64 (2, edges); entries of parameters first, structure after them.
        edge_attr: Entries that an edge carries, (edges, taps); 0 where it carries fewer.
        edge_block: Which block of a parameter, or which kind of structure, int64 (edges,).
        edge_chunk: Which part of the taps of two nodes, int64 (edges,).
        node_set: Which set, int64 (nodes,).
        node_index: What tells apart nodes of a set that keeps its order, else 0, int64 (nodes,).
        set_kind: Position in `NODE_KINDS`, int64 (sets,).
        set_depth: Place in the network, from 0 to 1, (sets,).
        set_size: Last of its sizes, int64 (sets,).
        block_role: Position in `EDGE_ROLES`, int64 (blocks,).
        block_part: Which outer group, or which factor, of structure, int64 (blocks,).
        block_depth: Place in the network, from 0 to 1, (blocks,).
        block_taps: Entries that two nodes share, int64 (blocks,).
        block_fan_in: Entries that add up to one value, int64 (blocks,).
        spec_hash: Of the spec that the graph follows.
        network: In a dataset, which of its networks.
        y: In a dataset, the targets, float32 (1, metrics).
    """

    if TYPE_CHECKING:  # the base class has them as what may be missing, or does not know them
        edge_index: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
        edge_attr: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
        num_nodes: int  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        batch: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
        edge_block: Tensor
        edge_chunk: Tensor
        node_set: Tensor
        node_index: Tensor
        set_kind: Tensor
        set_depth: Tensor
        set_size: Tensor
        block_role: Tensor
        block_part: Tensor
        block_depth: Tensor
        block_taps: Tensor
        block_fan_in: Tensor
        spec_hash: str

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """What indices grow by from a graph of a batch to the next."""
        if key in _POINTS_TO:
            return len(self[_POINTS_TO[key]])
        return super().__inc__(key, value, *args, **kwargs) if key == "edge_index" else 0

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Along which dimension graphs are put together: the first, of `edge_index` the last."""
        return -1 if key == "edge_index" else 0
