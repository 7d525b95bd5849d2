"""Numbers as features: sines and cosines (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WIDTH = 16  # features of a number
_LONGEST = 10_000.0


def positions(numbers: Tensor) -> Tensor:
    """Features (..., WIDTH) of integers, or of places on a scale from 0 to some hundred."""
    rates = torch.exp(torch.arange(0, WIDTH, 2, device=numbers.device) * (-math.log(_LONGEST) / WIDTH))
    angles = numbers[..., None] * rates.to(numbers.dtype if numbers.is_floating_point() else torch.float32)
    return torch.cat([angles.sin(), angles.cos()], -1)
