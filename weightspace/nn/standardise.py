"""Weights on a common scale: every tensor less its mean over the training networks, by its standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError


class Standardise(nn.Module):
    """One mean and one standard deviation per tensor, which no symmetry moves: permuted weights stay permuted weights.

    Until `fit` is called it changes nothing. What it holds is part of the state dict and takes no gradient.

    Args:
        names: The tensors, in the order in which they are listed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.register_buffer("mean", torch.zeros(len(self.names)))
        self.register_buffer("deviation", torch.ones(len(self.names)))

    def fit(self, tensors: Mapping[str, Tensor]) -> None:
        """Measures the networks of the training split, and only those; tensors that are constant keep their scale.

        Args:
            tensors: By name (networks, *shape).

        Raises:
            SpecError: A tensor is missing.
        """
        self._check(tensors)
        for place, name in enumerate(self.names):
            values = tensors[name].detach().double()
            if values.numel() == 0:
                continue
            deviation = values.std(correction=0)
            self.mean[place] = values.mean()
            # Equal numbers leave rounding in their deviation: dividing by it would make noise of it.
            constant = deviation <= 1e-6 * values.abs().amax()
            self.deviation[place] = 1.0 if constant else deviation

    @override
    def forward(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of `names` standardised, (networks, *shape) each.

        Raises:
            SpecError: A tensor is missing.
        """
        self._check(tensors)
        return {
            name: (tensors[name] - self.mean[place]) / self.deviation[place] for place, name in enumerate(self.names)
        }

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.names if name not in tensors]
        if missing:
            raise SpecError(f"tensor '{missing[0]}': expected among the weights, found none; add it")
