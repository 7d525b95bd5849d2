"""The last part of a metanetwork: from invariant features of a network to what is predicted of it."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override


class InvariantHead(nn.Module):
    """A multilayer perceptron on features of networks; invariant to whatever the features are invariant to.

    Hidden layers are normalised per network, never over a batch: a network's prediction alone is its prediction in any
    batch.

    Args:
        channels: Number of features of a network.
        outputs: Number of values predicted (targets, or logits of classes).
        hidden: Width of the hidden layers.
        depth: Number of hidden layers; 0 for a linear head.
    """

    def __init__(self, channels: int, outputs: int, *, hidden: int = 128, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(channels, hidden), nn.LayerNorm(hidden), nn.GELU()]
            channels = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(channels, outputs))

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Predictions (networks, outputs) from features (networks, channels)."""
        return self.layers(features)
