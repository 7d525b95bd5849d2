"""Learned inputs: free tensors, or made from latent codes by a shared linear generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError


class FreeProbes(nn.Module):
    """Probes that are learned number by number.

    Args:
        start: What they are at first, floating (probes, *shape of one input): noise, coordinates, or real examples.

    Attributes:
        shape: (probes, *shape of one input).

    Raises:
        SpecError: Integer inputs, such as tokens, which no gradient changes; or no probe at all.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        if not start.is_floating_point() or start.numel() == 0:
            raise SpecError(
                f"probes: expected floating inputs, (probes, *shape), found {start.dtype} of shape "
                f"{tuple(start.shape)}; probe networks that take images, features or coordinates"
            )
        self.shape = tuple(start.shape)
        self.values = nn.Parameter(start.detach().clone())

    @override
    def forward(self) -> Tensor:
        """The probes, (probes, *shape of one input)."""
        return self.values


class ProbeGenerator(nn.Module):
    """Probes from learned latent codes by a deep generator without nonlinearity (ProbeGen, Kahana et al. 2024).

    That it is shared and linear regularises: probes lie in one affine space of few dimensions, and those of images are
    smooth, since transposed convolutions make them.

    Args:
        probes: Number of probes.
        shape: Shape of one input. Images (channels, height, width) of at least 4 x 4 pixels are made at a quarter of
            their size and doubled twice; anything else by three linear layers.
        latent: Channels of a code.
        hidden: Width of the generator.

    Attributes:
        shape: (probes, *shape of one input).

    Raises:
        SpecError: No probe, or an input without elements.
    """

    def __init__(self, probes: int, shape: tuple[int, ...], *, latent: int = 32, hidden: int = 32) -> None:
        super().__init__()
        if probes < 1 or math.prod(shape) < 1:
            raise SpecError(
                f"probes: expected at least one, of an input with elements, found {probes} of shape {shape}; give both"
            )
        self.shape = (probes, *shape)
        self.codes = nn.Parameter(torch.randn(probes, latent))
        image = len(shape) == 3 and min(shape[1:]) >= 4
        self.generator = _images(latent, hidden, shape) if image else _vectors(latent, hidden, shape)

    @override
    def forward(self) -> Tensor:
        """The probes, (probes, *shape of one input)."""
        made = self.generator(self.codes)
        # Images are made in multiples of four pixels.
        return made[(slice(None), *(slice(size) for size in self.shape[1:]))]


def _images(latent: int, hidden: int, shape: tuple[int, ...]) -> nn.Sequential:
    channels, height, width = shape
    small = (hidden, math.ceil(height / 4), math.ceil(width / 4))
    return nn.Sequential(
        nn.Linear(latent, math.prod(small)),
        nn.Unflatten(1, small),
        nn.ConvTranspose2d(hidden, hidden, 4, stride=2, padding=1),
        nn.ConvTranspose2d(hidden, channels, 4, stride=2, padding=1),
    )


def _vectors(latent: int, hidden: int, shape: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(latent, hidden),
        nn.Linear(hidden, hidden),
        nn.Linear(hidden, math.prod(shape)),
        nn.Unflatten(1, shape),
    )
