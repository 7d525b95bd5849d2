"""Where an index lies, for dimensions that stay in place but are permutable to the layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.nn.unf.layout import FeatureShape

WAVES = 8
LONGEST = 10_000.0


class Positions(nn.Module):
    """A learned linear map of sines and cosines of the position (Vaswani et al. 2017) on every ordered dimension.

    The positions of several dimensions are added up.

    Args:
        shape: The indices of the features of a block, at least one of them ordered.
        channels: Channels of its features.
    """

    waves: Tensor

    def __init__(self, shape: FeatureShape, channels: int) -> None:
        super().__init__()
        self.places = [place for place, dim in enumerate(shape.dims) if dim.ordered]
        self.rank, self.sizes = len(shape.dims), [shape.dims[place].size for place in self.places]
        self.register_buffer("waves", torch.cat([_waves(size) for size in self.sizes]), persistent=False)
        # The scale of one value of a lift whose other values are the weights.
        std = (2 * WAVES) ** -0.5
        self.weight = nn.Parameter(torch.empty(len(self.places), 2 * WAVES, channels).normal_(std=std))

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Features (networks, *sizes, channels) with their positions."""
        for place, waves, weight in zip(self.places, self.waves.split(self.sizes), self.weight, strict=True):
            shape = [1] * (self.rank + 1)
            shape[1 + place] = len(waves)
            features = features + (waves @ weight).reshape(*shape, -1)
        return features


def _waves(size: int) -> Tensor:
    """Sines and cosines (size, 2 WAVES) of frequencies from 1 to 1 / LONGEST."""
    frequencies = LONGEST ** (-torch.arange(WAVES, dtype=torch.float64) / WAVES)
    angles = torch.arange(size, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1).to(torch.get_default_dtype())
