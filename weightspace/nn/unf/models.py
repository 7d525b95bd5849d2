"""Models on universal neural functionals: one prediction for a network, or a new value for every weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.nn.unf.backbone import UNF, Tensors
from weightspace.nn.unf.mixing import mixings_of
from weightspace.nn.unf.reading import Reading


class InvariantUNF(nn.Module):
    """A prediction for every network, which permuting its units does not change.

    All invariant means of the features, of every block and of its diagonals, go through a perceptron with one hidden
    layer.

    Args:
        features: What computes the features.
        outputs: Number of values to predict.
        hidden: Width of the hidden layer.
    """

    def __init__(self, features: UNF, outputs: int, hidden: int = 128) -> None:
        super().__init__()
        self.features = features
        mixings = mixings_of([shape.dims for shape in features.layout.all])
        invariants = list(dict.fromkeys(read for mixing in mixings if not mixing.slots for read in mixing.reads))
        self._reading = Reading(invariants)
        channels = features.width * len(invariants)
        self.head = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    @override
    def forward(self, *tensors: Tensors) -> Tensor:
        """Predictions (networks, outputs) from tensors by name (networks, *shape), one mapping for every channel."""
        return self.head(torch.cat(self._reading(self.features(*tensors)), -1))


class EquivariantUNF(nn.Module):
    """A new value for every weight, which moves with the weight when units are permuted.

    Args:
        features: What computes the features.
        gamma: At first, the part of a standard deviation of its block by which a weight changes.
    """

    def __init__(self, features: UNF, gamma: float = 0.01) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(nn.Linear(features.width, shape.channels) for shape in features.layout.all)
        self.gamma = nn.Parameter(torch.full((len(self.heads),), gamma))

    def update(self, *tensors: Tensors) -> dict[str, Tensor]:
        """What `forward` adds to the weights, by name (networks, *shape)."""
        folded = [head(part) for head, part in zip(self.heads, self.features(*tensors), strict=True)]
        scale = self.gamma * self.features.standardise.deviation[:, 0]
        parts = [
            values.squeeze(-1) * own
            for values, own in zip(self.features.layout.unfold(folded), scale.unbind(), strict=True)
        ]
        return self.features.blocks.join(parts)

    @override
    def forward(self, *tensors: Tensors) -> dict[str, Tensor]:
        """``theta + gamma * f(theta)`` by name (networks, *shape); theta is the first channel."""
        return {name: tensors[0][name] + change for name, change in self.update(*tensors).items()}
