"""A metanetwork on parameter graphs up to its last features of nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, cast

from torch import Tensor, nn

from weightspace.graph import TAPS, ParameterGraph
from weightspace.nn.gmn.layer import MessageLayer
from weightspace.nn.gmn.lift import Lift
from weightspace.nn.gmn.stacked import Stacked
from weightspace.nn.gmn.wiring import Wiring, wiring_of


class Round(Protocol):
    """A layer in its two forms (see `MessageLayer`)."""

    def on_blocks(self, wiring: Wiring, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes and edges of networks of one layout, updated."""
        ...

    def on_graph(self, edge_index: Tensor, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes and edges of any graph, updated."""
        ...


class GraphEncoder(nn.Module):
    """Features of all nodes and edges after some rounds of messages, or of attention.

    Args:
        width: Channels.
        layers: Rounds.
        taps: Entries on an edge; graphs need the same.
        layer: Makes a round of a number of channels, with the two forms of `MessageLayer`.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 4,
        *,
        taps: int = TAPS,
        layer: Callable[[int], nn.Module] = MessageLayer,
    ) -> None:
        super().__init__()
        self.width, self.taps = width, taps
        self.lift = Lift(width, taps)
        self.layers = nn.ModuleList(layer(width) for _ in range(layers))

    def fit_standardisation(self, batches: Iterable[Stacked | ParameterGraph]) -> None:
        """Takes means and deviations of weights from networks; of the training split, and of no others."""
        self.lift.fit(batches)

    def on_blocks(self, batch: Stacked) -> tuple[Wiring, Tensor, Tensor]:
        """Of networks of one spec: order of the rows, nodes (networks, nodes, width) and edges (rows, width)."""
        wiring = wiring_of(batch.layout, self.taps, self.lift.mean.device)
        nodes, edges = self.lift.on_blocks(wiring, wiring.blocks.split(batch.tensors))
        for layer in cast(Iterable[Round], self.layers):
            nodes, edges = layer.on_blocks(wiring, nodes, edges)
        return wiring, nodes, edges

    def on_graph(self, graph: ParameterGraph) -> tuple[Tensor, Tensor]:
        """Of any graphs: nodes (nodes, width) and edges (edges, width)."""
        nodes, edges = self.lift.on_graph(graph)
        for layer in cast(Iterable[Round], self.layers):
            nodes, edges = layer.on_graph(graph.edge_index, nodes, edges)
        return nodes, edges
