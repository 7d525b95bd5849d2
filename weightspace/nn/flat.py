"""The flat baseline: a multilayer perceptron on all weights of a network in a row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.nn.blocks import Blocks
from weightspace.nn.heads import InvariantHead
from weightspace.nn.standardise import Standardise


class FlatMLP(nn.Module):
    """A head on the concatenated, standardised weights.

    Not invariant to anything: a permuted copy of a network is another network to it. It is what other metanetworks are
    compared with, and does well only on weights that are aligned, canonical, or trained from one initialisation.

    Args:
        blocks: The tensors of the networks' spec that it reads.
        outputs: Number of values predicted.
        hidden: Width of the hidden layers.
        depth: Number of hidden layers.
    """

    def __init__(self, blocks: Blocks, outputs: int, *, hidden: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.blocks = blocks
        self.standardise = Standardise(blocks.names)
        weights = sum(math.prod(block.shape) for block in blocks.all)
        self.head = InvariantHead(weights, outputs, hidden=hidden, depth=depth)

    def fit(self, tensors: Mapping[str, Tensor]) -> None:
        """Measures how to standardise, on the training split only (see `Standardise.fit`)."""
        self.standardise.fit(tensors)

    @override
    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Predictions (networks, outputs).

        Args:
            tensors: By name (networks, *shape), in any order.

        Raises:
            SpecError: A tensor is missing or has another shape.
        """
        blocks = self.blocks.split(self.standardise(tensors))
        return self.head(torch.cat([block.flatten(1) for block in blocks], 1))
