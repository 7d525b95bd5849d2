"""Predict something of a network: invariant under its symmetries."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from weightspace.graph import TAPS, ParameterGraph
from weightspace.nn.gmn.encoder import GraphEncoder
from weightspace.nn.gmn.layer import MessageLayer
from weightspace.nn.gmn.readout import head, read_blocks, read_graph
from weightspace.nn.gmn.stacked import Stacked


class GraphPredictor(nn.Module):
    """Numbers for every network.

    Args:
        outputs: How many.
        width: Channels.
        layers: Rounds of messages.
        taps: Entries on an edge.
        layer: Makes a round of a number of channels, with the two forms of `MessageLayer`.
    """

    def __init__(
        self,
        outputs: int,
        width: int = 64,
        layers: int = 4,
        *,
        taps: int = TAPS,
        layer: Callable[[int], nn.Module] = MessageLayer,
    ) -> None:
        super().__init__()
        self.encoder = GraphEncoder(width, layers, taps=taps, layer=layer)
        self.head = head(width, outputs)

    def forward(self, networks: Stacked | ParameterGraph) -> Tensor:
        """(networks, outputs): of networks of one spec by dense blocks, of a batch of graphs edge by edge."""
        if isinstance(networks, Stacked):
            return self.head(read_blocks(*self.encoder.on_blocks(networks)))
        return self.head(read_graph(networks, *self.encoder.on_graph(networks)))
