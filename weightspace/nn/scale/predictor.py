"""Predict something of a network: invariant under its permutations, and under its scales and signs of units."""

from __future__ import annotations

from torch import Tensor, nn

from weightspace.graph import TAPS
from weightspace.nn.gmn import Stacked
from weightspace.nn.gmn.readout import head, read_blocks
from weightspace.nn.scale.encoder import ScaleEncoder


class ScalePredictor(nn.Module):
    """Numbers for every network.

    Args:
        outputs: How many.
        width: Channels.
        layers: Rounds of messages.
        taps: Entries on an edge.
    """

    def __init__(self, outputs: int, width: int = 64, layers: int = 4, *, taps: int = TAPS) -> None:
        super().__init__()
        self.encoder = ScaleEncoder(width, layers, taps=taps)
        self.head = head(width, outputs)

    def forward(self, networks: Stacked) -> Tensor:
        """(networks, outputs)."""
        return self.head(read_blocks(*self.encoder.on_blocks(networks)))
