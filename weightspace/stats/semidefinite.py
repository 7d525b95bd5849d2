"""Linear equations with sums of squares on the left."""

from __future__ import annotations

import torch
from torch import Tensor

_SINGULAR = 1e-15  # share of a diagonal entry, per row, of which rounding may make a pivot


def solved(gram: Tensor, right: Tensor) -> Tensor:
    """Solves with a positive semi-definite matrix; the shortest solution where it is singular, up to rounding."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal(dim1=-2, dim2=-1).square()
    safe = pivots > _SINGULAR * gram.shape[-1] * gram.diagonal(dim1=-2, dim2=-1)
    if not bool(failed.any()) and bool(safe.all()):
        return torch.cholesky_solve(right, factor)
    return torch.linalg.pinv(gram, hermitian=True) @ right
