"""A metanetwork that knows neither scales nor signs of units, up to its last features of nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from weightspace.graph import TAPS, GraphLayout, ParameterGraph
from weightspace.nn.gmn import Stacked
from weightspace.nn.gmn.lift import Lift
from weightspace.nn.gmn.wiring import Wiring, wiring_of
from weightspace.nn.scale.canonical import CanonicalSign
from weightspace.nn.scale.gauge import gauge_of
from weightspace.nn.scale.layers import EquivariantLayer
from weightspace.nn.scale.signed import SignedLayer
from weightspace.nn.scale.signs import gathered_on_edges, signs_of


class ScaleEncoder(nn.Module):
    """Features of all nodes and edges, invariant to the scales and signs of units that the spec claims.

    Args:
        width: Channels.
        layers: Rounds of messages.
        taps: Entries on an edge.
    """

    def __init__(self, width: int = 64, layers: int = 4, *, taps: int = TAPS) -> None:
        super().__init__()
        self.width, self.taps = width, taps
        self.lift = Lift(width, taps, centred=False)
        self.canonical = CanonicalSign(width, width)
        self.start = EquivariantLayer("sign", width, width, hidden=width)
        self.layers = nn.ModuleList(SignedLayer(width) for _ in range(layers))

    def fit_standardisation(self, batches: Iterable[Stacked]) -> None:
        """Takes deviations of weights in the gauge from networks; of the training split, and of no others."""
        self.lift.fit(self.gauged(batch) for batch in batches)

    def gauged(self, batch: Stacked) -> Stacked:
        """The same networks with the scales of units taken out of their weights."""
        return gauge_of(batch.layout, self.lift.mean.device)(batch)

    def on_blocks(self, batch: Stacked) -> tuple[Wiring, Tensor, Tensor]:
        """Of networks of one spec: order of the rows, nodes (networks, nodes, width) and edges (rows, width)."""
        wiring = wiring_of(batch.layout, self.taps, self.lift.mean.device)
        signs = signs_of(wiring)
        nodes, weights, places = self.lift.apart(wiring, wiring.blocks.split(self.gauged(batch).tensors))
        edges = self._edges(weights, places, signs.signed(len(batch), places.dtype))
        none = weights.new_zeros(len(batch), signs.units, self.width)
        units = self.start(signs.gathered(weights, none))
        for layer in cast(Iterable[SignedLayer], self.layers):
            nodes, units, edges = layer.on_blocks(wiring, signs, weights, nodes, units, edges)
        return wiring, nodes, edges

    def on_graph(self, layout: GraphLayout, graph: ParameterGraph) -> tuple[Tensor, Tensor]:
        """Of graphs of networks of one spec, edge by edge: nodes (nodes, width) and edges (edges, width).

        Args:
            layout: Of the spec.
            graph: One, or a batch of them, of weights in the gauge.
        """
        signs = signs_of(wiring_of(layout, self.taps, self.lift.mean.device))
        networks = graph.num_nodes // layout.nodes
        table = signs.table().repeat(networks, 1)
        number = torch.arange(networks, device=table.device).repeat_interleave(len(table) // networks)[:, None]
        table = torch.where(table < signs.units, table + number * signs.units, networks * signs.units)
        nodes, weights, places = self.lift.apart_on_graph(graph)
        edges = self._edges(weights, places, (table < networks * signs.units).any(1, keepdim=True).to(places.dtype))
        none = weights.new_zeros(networks * signs.units, self.width)
        units = self.start(gathered_on_edges(table, weights, none))
        for layer in cast(Iterable[SignedLayer], self.layers):
            nodes, units, edges = layer.on_graph(graph.edge_index, table, weights, nodes, units, edges)
        return nodes, edges

    def _edges(self, weights: Tensor, places: Tensor, signed: Tensor) -> Tensor:
        """Edges before any message: of weights that signs change only what these do not."""
        return places + self.canonical(weights) + (1 - signed) * weights
