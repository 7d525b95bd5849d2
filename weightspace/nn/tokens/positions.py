"""Where a token stands, as a vector: sinusoids of its three numbers, so that there is no largest network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

# Wavelengths from 2 pi to about this many tokens (Vaswani et al. 2017).
LONGEST = 10_000.0


class Positions(nn.Module):
    """A linear map of sines and cosines of (index, layer, k).

    Args:
        channels: Channels of the result.
    """

    rates: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        waves = max(channels // 6, 1)
        rates = torch.exp(torch.arange(waves) * (-math.log(LONGEST) / waves))
        self.register_buffer("rates", rates, persistent=False)
        self.linear = nn.Linear(6 * waves, channels)

    @override
    def forward(self, positions: Tensor) -> Tensor:
        """(networks, tokens, channels) from int64 (networks, tokens, 3)."""
        angles = (positions[..., None] * self.rates).flatten(2)
        return self.linear(torch.cat([angles.sin(), angles.cos()], -1))
