"""What a convolution multiplies its kernel with."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from weightspace.symmetry.sites import Convolution


def patches(x: Tensor, slides: Convolution, chosen: Tensor | None = None) -> Tensor:
    """The patches of a batch (N, in, positions...) as (groups, N * positions, in / groups * kernel)."""
    pad = [amount for side in reversed(slides.padding) for amount in (side, side)]
    x = F.pad(x, pad)
    for dim, (kernel, stride, dilation) in enumerate(zip(slides.kernel, slides.stride, slides.dilation, strict=True)):
        x = x.unfold(2 + dim, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    spatial = len(slides.kernel)
    places = x.shape[2 : 2 + spatial]
    x = x.unflatten(1, (slides.groups, -1))  # N, groups, in, positions..., kernel...
    positions, kernel = range(3, 3 + spatial), range(3 + spatial, 3 + 2 * spatial)
    x = x.permute(1, 0, *positions, 2, *kernel)
    if chosen is not None:
        x = x[(slice(None), slice(None), *torch.unravel_index(chosen, places))]
        return x.reshape(slides.groups, -1, math.prod(x.shape[3:]))
    return x.reshape(slides.groups, -1, math.prod(x.shape[2 + spatial :]))
