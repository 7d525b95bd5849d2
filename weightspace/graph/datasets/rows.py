"""A graph as a dataset holds it: the bare weights; what all networks of a spec have in common is added on access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from weightspace.errors import DataError
from weightspace.graph.convert import to_graph, to_tensors
from weightspace.graph.data import ParameterGraph
from weightspace.graph.layout import GraphLayout
from weightspace.graph.skeleton import skeleton

Row = dict[str, Any]
SCHEMA = {
    "weights": {"dtype": torch.uint8, "size": (-1,)},
    "dtype": str,
    "y": {"dtype": torch.float32, "size": (-1,)},
    "network": int,
    "spec_hash": str,
}
"""Of a row; the bytes of weights, because networks of several types may lie side by side."""

_OWN = {"edge_attr", "network", "y"}  # what may differ between networks of a spec


def row_of(layouts: Mapping[str, GraphLayout], graph: ParameterGraph) -> Row:
    """A graph as a row of `SCHEMA`.

    Raises:
        DataError: Its spec is not known, or it differs from other graphs of its spec in more than its own.
    """
    values: Tensor = graph["edge_attr"]
    if graph.spec_hash not in layouts:
        raise DataError(
            f"expected a graph of one of the dataset's {len(layouts)} specs, found one of spec {graph.spec_hash[:12]}; "
            "make a dataset with networks of both"
        )
    layout = layouts[graph.spec_hash]
    plain = skeleton(layout, values.shape[1])
    odd = sorted(set(graph.keys()) ^ (set(plain.keys()) | _OWN))
    if odd or not torch.equal(graph["edge_index"], plain["edge_index"]):
        raise DataError(
            "expected a graph that differs from others of its spec in weights, y and network only, found another "
            f"'{(odd or ['edge_index'])[0]}'; change that by transform, not by pre_transform"
        )
    tensors = to_tensors(layout, graph)
    flat = torch.cat([tensors[name].reshape(-1) for name in layout.names])
    return {
        "weights": flat.view(torch.uint8),
        "dtype": str(flat.dtype).removeprefix("torch."),
        "y": graph.y,
        "network": graph.network,
        "spec_hash": graph.spec_hash,
    }


def graph_of(layouts: Mapping[str, GraphLayout], row: Row, taps: int) -> ParameterGraph:
    """The inverse of `row_of`."""
    layout = layouts[row["spec_hash"]]
    # Copied: rows of several types lie in one buffer, where not every place is one for numbers of this type.
    flat = row["weights"].clone().view(getattr(torch, row["dtype"]))
    graph = to_graph(layout, _unflattened(layout, flat), taps=taps)
    graph.network, graph.y = row["network"], row["y"].reshape(1, row["y"].numel())
    return graph


def _unflattened(layout: GraphLayout, flat: Tensor) -> dict[str, Tensor]:
    shapes = [layout.spec.tensors[name].shape for name in layout.names]
    parts = flat.split([torch.Size(shape).numel() for shape in shapes])
    return {name: part.view(shape) for name, part, shape in zip(layout.names, parts, shapes, strict=True)}
