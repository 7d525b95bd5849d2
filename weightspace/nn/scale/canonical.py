"""What is left of an element when its scale or its sign does not count (ScaleGMN, Kalogeropoulos et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override


def canonical_scale(x: Tensor) -> Tensor:
    """The direction of every element, x / |x|; zero where x is zero, with a zero gradient there.

    Invariant to positive scales exactly, up to rounding: nothing is added to the norm.

    Args:
        x: (..., channels); a scale acts on all channels of an element together.

    Returns:
        Of the same shape, with Euclidean norm 1 or 0.
    """
    # Squares of tiny or huge numbers leave the range of the type. The result does not depend on this factor, so no
    # gradient need pass through it.
    largest = x.detach().abs().amax(-1, keepdim=True)
    alive = largest != 0
    x = x / torch.where(alive, largest, 1)
    # The norm of zeros has no gradient: there the ones are chosen, and the norm is taken of something else.
    norm = torch.where(alive, x, 1).norm(dim=-1, keepdim=True)
    return torch.where(alive, x / norm, 0)


class CanonicalScale(nn.Module):
    """`canonical_scale` as a module.

    Args:
        channels: Channels of an element.

    Attributes:
        channels: Channels of its canonical form.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @override
    def forward(self, x: Tensor) -> Tensor:
        """The directions (..., channels) of elements (..., channels)."""
        return canonical_scale(x)


class CanonicalSign(nn.Module):
    """canon(x) = rho(x) + rho(-x) with a learned rho: even, so invariant to the sign of an element.

    Args:
        channels: Channels of an element.
        hidden: Width of rho, and channels of the canonical form.

    Attributes:
        channels: Channels of the canonical form.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.channels = hidden
        # The bias inside makes more of it than |W x|; one outside would be that of the layer that reads it.
        self.rho = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, hidden, bias=False))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Canonical forms (..., hidden) of elements (..., channels)."""
        return self.rho(x) + self.rho(-x)
