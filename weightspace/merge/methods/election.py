"""Which sign task vectors agree on, element by element (TIES: Yadav et al. 2023, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def elected(vectors: Sequence[Tensor], factors: Sequence[float], weights: Sequence[float] | None) -> Tensor:
    """The sum of those elements whose sign is that of the sum over all; of 0 it is +.

    Args:
        vectors: Of one shape, of every model; overwritten.
        factors: What every model's elements are multiplied by in the sum, not in the election; nonnegative.
        weights: What every model counts. If given, the sum is divided by the weights of those that it is over, unless
            they are 0 together.
    """
    total = sum(vectors[1:], start=vectors[0])
    sign = torch.ge(total, 0.0, out=torch.empty_like(total)).mul_(2.0).sub_(1.0)
    total, divisor = torch.zeros_like(sign), torch.zeros_like(sign)
    for model, vector in enumerate(vectors):
        agreeing = vector.mul_(sign).clamp_(min=0.0)
        total.add_(agreeing, alpha=factors[model])
        if weights is not None:
            divisor.add_(agreeing.sign_(), alpha=weights[model])
    total *= sign
    if weights is None:
        return total
    return total.div_(divisor.add_(torch.eq(divisor, 0.0, out=torch.empty_like(divisor))))  # faster than bool
