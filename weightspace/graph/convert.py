"""Networks to parameter graphs, and back: no entry is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.graph.data import ParameterGraph
from weightspace.graph.edges import EDGE_ROLES, Entries
from weightspace.graph.layout import GraphLayout
from weightspace.graph.nodes import NODE_KINDS

TAPS = 9  # of a 3 x 3 kernel


def to_graph(layout: GraphLayout, tensors: Mapping[str, Tensor], *, taps: int = TAPS) -> ParameterGraph:
    """The weights of a network as a graph.

    Args:
        layout: Of its spec.
        tensors: Its state dict; more than the parameters and running statistics may be there.
        taps: Entries on one edge; where two nodes share more there are parallel edges. Graphs of one batch need the
            same.

    Returns:
        The graph; its values have the type that holds those of all tensors.

    Raises:
        SpecError: A tensor is missing or has another shape than the spec says.
    """
    for name in layout.names:
        expected, found = layout.spec.tensors[name].shape, tensors.get(name)
        if found is None or tuple(found.shape) != expected:
            shape = "none" if found is None else str(tuple(found.shape))
            raise SpecError(f"tensor '{name}': expected shape {expected}, found {shape}; take the spec of this network")
    values = [_on_edges(each, tensors[each.block.tensor], taps) for each in layout.entries]
    dtype = torch.float32
    for each in values:
        dtype = torch.promote_types(dtype, each.dtype)
    parallel = [_rows(each, taps) for each in layout.entries] + [1] * len(layout.structure)
    pairs = [grid.pairs().repeat_interleave(rows, 1) for grid, rows in zip(layout.grids, parallel, strict=True)]
    counts = torch.tensor([each.shape[1] for each in pairs])
    bare = sum(grid.size for grid in layout.structure)
    sets, grids = layout.sets, layout.grids
    return ParameterGraph(
        num_nodes=layout.nodes,
        edge_index=torch.cat(pairs, 1),
        edge_attr=torch.cat([*(each.to(dtype) for each in values), torch.zeros(bare, taps, dtype=dtype)]),
        edge_block=torch.arange(len(counts)).repeat_interleave(counts),
        edge_chunk=torch.cat(
            [torch.arange(rows).repeat(grid.size) for grid, rows in zip(grids, parallel, strict=True)]
        ),
        node_set=torch.arange(len(sets)).repeat_interleave(torch.tensor([each.size for each in sets])),
        node_index=torch.cat([each.indices() for each in sets]),
        set_kind=torch.tensor([NODE_KINDS.index(each.kind) for each in sets]),
        set_depth=torch.tensor([each.depth for each in sets], dtype=dtype),
        set_size=torch.tensor([each.shape[-1] for each in sets]),
        block_role=torch.tensor([EDGE_ROLES.index(grid.role) for grid in grids]),
        block_part=torch.tensor([grid.part for grid in grids]),
        block_depth=torch.tensor([grid.depth for grid in grids], dtype=dtype),
        block_taps=torch.tensor([each.taps for each in layout.entries] + [0] * len(layout.structure)),
        block_fan_in=torch.tensor([each.fan_in for each in layout.entries] + [1] * len(layout.structure)),
        spec_hash=layout.spec.hash,
    )


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
    attributes: Tensor = graph.edge_attr
    width = attributes.shape[1]
    tensors = {name: attributes.new_empty(layout.spec.tensors[name].shape) for name in layout.names}
    start = 0
    for each in layout.entries:
        count = each.grid.size * _rows(each, width)
        values = attributes[start : start + count].reshape(1, *each.grid.shape, -1)[..., : each.taps]
        each.block.write(tensors[each.block.tensor], each.restored(values)[0])
        start += count
    return tensors | {alias: tensors[name] for alias, name in layout.spec.aliases.items() if name in tensors}


def _rows(each: Entries, width: int) -> int:
    """Number of parallel edges that carry the taps of two nodes."""
    return math.ceil(each.taps / width)


def _on_edges(each: Entries, tensor: Tensor, width: int) -> Tensor:
    """(edges, width): the taps of a block, filled up with zeros, in rows of that width."""
    values = each.arranged(each.block.read(tensor)[None])
    missing = _rows(each, width) * width - each.taps
    return torch.nn.functional.pad(values, (0, missing)).reshape(-1, width)
