"""Weights on a common scale, measured once on the networks that are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import DataError

SMALLEST = 1e-6  # of a deviation, relative to the values: below it they are constant, and their deviation is rounding


class Standardise(nn.Module):
    """One mean and one deviation per block and channel: what no symmetry moves. Before `fit` it changes nothing.

    Args:
        blocks: How many blocks.
        channels: Values of every weight.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, blocks: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(blocks, channels))
        self.register_buffer("deviation", torch.ones(blocks, channels))

    @torch.no_grad()
    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Measures the networks of the training split, and only those.

        Args:
            batches: For every block values (networks, *shape, channels).

        Raises:
            DataError: There is no network.
        """
        count, mean, squares = 0, torch.zeros(self.mean.shape, dtype=torch.float64), torch.zeros(1)
        for batch in batches:
            flat = [part.detach().reshape(len(part), -1, part.shape[-1]).double().cpu() for part in batch]
            here = torch.stack([part.mean((0, 1)) for part in flat])
            around = torch.stack([(part - part.mean((0, 1))).square().mean((0, 1)) for part in flat])
            # Blocks keep their sizes, so that all of them weigh batches by their networks (Chan et al. 1979).
            new, total = len(flat[0]), count + len(flat[0])
            delta = here - mean
            squares = squares + new * around + delta.square() * (count * new / total)
            mean, count = mean + delta * (new / total), total
        if count == 0:
            raise DataError("standardisation: expected networks of the training split, found none; give their batches")
        deviation = (squares / count).sqrt()
        deviation[deviation <= SMALLEST * mean.abs()] = 1.0
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    @override
    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Values (networks, *shape, channels) of every block, standardised."""
        scaled = zip(parts, self.mean.unbind(), self.deviation.unbind(), strict=True)
        return [(part - mean) / deviation for part, mean, deviation in scaled]
