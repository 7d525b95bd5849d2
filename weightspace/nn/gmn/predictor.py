"""Predict something of a network: invariant under its symmetries."""

from __future__ import annotations

from torch import Tensor, nn

from weightspace.graph import TAPS, ParameterGraph
from weightspace.nn.gmn.encoder import GraphEncoder
from weightspace.nn.gmn.readout import read_blocks, read_graph
from weightspace.nn.gmn.stacked import Stacked
from weightspace.nn.heads import InvariantHead


class GraphPredictor(nn.Module):
    """Numbers for every network.

    Args:
        outputs: How many.
        width: Channels.
        layers: Rounds of messages.
        taps: Entries on an edge.
    """

    def __init__(self, outputs: int, width: int = 64, layers: int = 4, *, taps: int = TAPS) -> None:
        super().__init__()
        self.encoder = GraphEncoder(width, layers, taps=taps)
        self.norm = nn.LayerNorm(2 * width)
        self.head = InvariantHead(2 * width, outputs, hidden=width, depth=1)

    def forward(self, networks: Stacked | ParameterGraph) -> Tensor:
        """(networks, outputs): of networks of one spec by dense blocks, of a batch of graphs edge by edge."""
        if isinstance(networks, Stacked):
            return self.head(self.norm(read_blocks(*self.encoder.on_blocks(networks))))
        return self.head(self.norm(read_graph(networks, *self.encoder.on_graph(networks))))
