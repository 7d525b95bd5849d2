"""What is measured of the elements of a tensor, in whatever order they lie (Unterthiner et al. 2020, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
MEASURES = ("mean", "var", *(f"q{round(100 * share)}" for share in QUANTILES), "norm1", "norm2")


def measures(elements: Tensor) -> Tensor:
    """Mean, variance, quantiles and norms of the elements of tensors.

    The norms are root mean powers, (mean |x|^p)^(1/p), so that tensors of any size compare. Permuting the elements
    changes nothing but the order of summation.

    Args:
        elements: (tensors, elements), at least one element; half precision is measured in float32.

    Returns:
        (tensors, 9), in the order of `MEASURES`.
    """
    if elements.dtype.itemsize < torch.float32.itemsize:
        elements = elements.float()
    mean = elements.mean(1)
    variance = elements.var(1, correction=0)
    norms = elements.abs().mean(1), elements.square().mean(1).sqrt()
    return torch.stack([mean, variance, *_quantiles(elements), *norms], 1)


def _quantiles(elements: Tensor) -> list[Tensor]:
    """By linear interpolation; `torch.quantile` does the same but refuses more than 16 million elements."""
    ordered = elements.sort(1).values
    last = elements.shape[1] - 1
    found = []
    for share in QUANTILES:
        place = share * last
        below = min(int(place), max(last - 1, 0))
        found.append(torch.lerp(ordered[:, below], ordered[:, min(below + 1, last)], place - below))
    return found
