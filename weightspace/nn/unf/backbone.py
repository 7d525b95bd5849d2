"""Universal neural functionals: from the weights of networks to equivariant features of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError
from weightspace.nn.blocks import Blocks
from weightspace.nn.unf.layer import Far, UNFLayer
from weightspace.nn.unf.layout import FeatureShape, Layout
from weightspace.nn.unf.positions import Positions
from weightspace.nn.unf.standardise import Standardise

Tensors: TypeAlias = Mapping[str, Tensor]


class UNF(nn.Module):
    """Equivariant features of the weights of networks of one spec (Zhou et al. 2024, Universal neural functionals).

    Every weight is standardised and lifted to ``width`` channels; then come ``depth`` residual steps, each an
    equivariant layer of the rectified features, which are normalised over all entries of a block of one network before.
    Nothing depends on the other networks of a batch, and nothing is random but the start.

    Dimensions that stay in place are folded into the channels of the lift while there are few, as the taps of a kernel;
    others are permutable to the layers, and the lift adds where their indices lie (see `Layout`).

    Args:
        blocks: What is read of the networks.
        width: Channels of the features.
        depth: Number of layers.
        channels: Values of every weight: 1 for weights, more for weights with gradients and moments.
        fold: How many values at most one index of the features gathers.
        far: How blocks are told of those that they share no group with (see `UNFLayer`).
    """

    def __init__(
        self, blocks: Blocks, width: int = 64, depth: int = 3, *, channels: int = 1, fold: int = 16, far: Far = "shared"
    ) -> None:
        super().__init__()
        self.blocks, self.width, self.channels = blocks, width, channels
        for piece in (piece for block in blocks.all for piece in block.pieces):
            _ = piece.span  # computed now: a compiler cannot follow a cached property that is not
        self.layout = Layout(blocks, fold)
        self.standardise = Standardise(len(blocks.all), channels)
        self.lifts = nn.ModuleList(_lift(shape, channels, width) for shape in self.layout.all)
        self.layers = nn.ModuleList(UNFLayer(self.layout, width, width, far) for _ in range(depth))

    def values(self, *tensors: Tensors) -> list[Tensor]:
        """The values of every block (networks, *shape, channels).

        Args:
            tensors: For every channel by name (networks, *shape).

        Raises:
            SpecError: A tensor is missing or has another shape, or there is another number of channels.
        """
        if len(tensors) != self.channels:
            raise SpecError(f"weights: expected {self.channels} values of every weight, found {len(tensors)}")
        parts = [self.blocks.split(channel) for channel in tensors]
        return [torch.stack(values, -1) for values in zip(*parts, strict=True)]

    def fit_standardisation(self, batches: Iterable[Tensors | Sequence[Tensors]]) -> None:
        """Measures the scale of every block on the training split, and only there; part of the state dict.

        Args:
            batches: Networks as `forward` takes them; with several channels a sequence of these.

        Raises:
            DataError: There is no network.
        """
        self.standardise.fit(
            self.values(batch) if isinstance(batch, Mapping) else self.values(*batch) for batch in batches
        )

    @override
    def forward(self, *tensors: Tensors) -> list[Tensor]:
        """Features (networks, *sizes, width) of all blocks; sizes are those of `layout`.

        Args:
            tensors: For every channel by name (networks, *shape).
        """
        folded = self.layout.fold(self.standardise(self.values(*tensors)))
        features = [lift(part) for lift, part in zip(self.lifts, folded, strict=True)]
        for layer in self.layers:
            features = layer([_activated(part) for part in features], onto=features)
        return [_activated(part) for part in features]


def _lift(shape: FeatureShape, channels: int, width: int) -> nn.Module:
    linear = nn.Linear(shape.channels * channels, width)
    return nn.Sequential(linear, Positions(shape, width)) if any(dim.ordered for dim in shape.dims) else linear


def _activated(features: Tensor) -> Tensor:
    """Rectified, after subtracting the mean over all entries of one network and dividing by their deviation."""
    return F.layer_norm(features, features.shape[1:]).relu_()
