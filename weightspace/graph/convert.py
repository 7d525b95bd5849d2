"""Networks to parameter graphs, and back: no entry is lost."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.graph.data import ParameterGraph
from weightspace.graph.edges import Entries
from weightspace.graph.layout import GraphLayout
from weightspace.graph.skeleton import parallel, skeleton

TAPS = 9  # of a 3 x 3 kernel


def to_graph(layout: GraphLayout, tensors: Mapping[str, Tensor], *, taps: int = TAPS) -> ParameterGraph:
    """The weights of a network as a graph.

    Args:
        layout: Of its spec.
        tensors: Its state dict; more than the parameters and running statistics may be there.
        taps: Entries on one edge; where two nodes share more there are parallel edges. Graphs of one batch need the
            same.

    Returns:
        The graph, on the CPU; its values have the type that holds those of all tensors. Graphs of one layout share all
        that does not depend on weights: take `graph.clone()` before changing that in place.

    Raises:
        SpecError: A tensor is missing or has another shape than the spec says.
    """
    dtype = torch.float32
    for name in layout.names:
        expected, found = layout.spec.tensors[name].shape, tensors.get(name)
        if found is None or tuple(found.shape) != expected:
            shape = "none" if found is None else str(tuple(found.shape))
            raise SpecError(f"tensor '{name}': expected shape {expected}, found {shape}; take the spec of this network")
        dtype = torch.promote_types(dtype, found.dtype)
    graph = copy.copy(skeleton(layout, taps))
    graph.edge_attr = edge_values(layout, tensors, taps, dtype)
    graph.set_depth, graph.block_depth = graph.set_depth.to(dtype), graph.block_depth.to(dtype)
    return graph


def edge_values(layout: GraphLayout, tensors: Mapping[str, Tensor], taps: int, dtype: torch.dtype) -> Tensor:
    """The `edge_attr` (edges, taps) of weights whose shapes are known to fit.

    Args:
        layout: Of the spec.
        tensors: Parameters and running statistics by name.
        taps: Entries on one edge.
        dtype: Of the result.
    """
    values = torch.zeros(skeleton(layout, taps).num_edges, taps, dtype=dtype)
    for each, rows in _parts(layout, values):
        each.carried(rows).copy_(each.block.read(tensors[each.block.tensor]))
    return values


def to_tensors(layout: GraphLayout, graph: ParameterGraph) -> dict[str, Tensor]:
    """The inverse of `to_graph`: parameters and running statistics by name, further names of tied ones too.

    Args:
        layout: The one that the graph was made with.
        graph: Of one network; `edge_attr` may hold other values, such as a prediction of a metanetwork.

    Returns:
        Tensors in the type of the graph.

    Raises:
        SpecError: The graph belongs to another spec.
    """
    if graph.spec_hash != layout.spec.hash:
        raise SpecError("the graph belongs to another spec; take the layout that it was made with")
    attributes: Tensor = graph["edge_attr"]
    tensors = {name: attributes.new_empty(layout.spec.tensors[name].shape) for name in layout.names}
    for each, rows in _parts(layout, attributes):
        each.block.write(tensors[each.block.tensor], each.carried(rows))
    return tensors | {alias: tensors[name] for alias, name in layout.spec.aliases.items() if name in tensors}


def _parts(layout: GraphLayout, values: Tensor) -> Iterator[tuple[Entries, Tensor]]:
    """Of values (edges, taps) those of every block."""
    start = 0
    for each in layout.entries:
        stop = start + each.grid.size * parallel(each, values.shape[1])
        yield each, values[start:stop]
        start = stop
