"""The interface of linear assignment; behind it scipy's exact solver."""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from weightspace.errors import AlignmentError


def assign(scores: Tensor) -> Tensor:
    """Finds the permutations that maximise the sum of the scores they pick, exactly.

    Solved one by one with `scipy.optimize.linear_sum_assignment` (Crouse 2016, shortest augmenting paths), in float64.

    Args:
        scores: Square score matrices, shape (..., n, n), any floating dtype and device. ``scores[..., i, j]`` is the
            gain of putting unit j into slot i.

    Returns:
        int64 of shape (..., n) on the CPU: ``result[..., i]`` is the unit that goes to slot i.

    Raises:
        AlignmentError: If the matrices are not square or hold NaN or infinity.
    """
    if scores.dim() < 2 or scores.shape[-1] != scores.shape[-2]:
        raise AlignmentError(f"assignment: expected square score matrices, found shape {tuple(scores.shape)}")
    if not bool(torch.isfinite(scores).all()):
        raise AlignmentError("assignment: the scores hold NaN or infinity; check the weights for them")
    n = scores.shape[-1]
    flat = scores.detach().to("cpu", torch.float64).reshape(math.prod(scores.shape[:-2]), n, n).numpy()
    result = torch.empty(flat.shape[0], n, dtype=torch.int64)
    for number, matrix in enumerate(flat):
        result[number] = torch.from_numpy(linear_sum_assignment(matrix, maximize=True)[1])
    return result.reshape(scores.shape[:-1])


def assigned_score(scores: Tensor, columns: Tensor) -> Tensor:
    """Sum of the scores that assignments pick.

    Args:
        scores: Shape (..., n, n).
        columns: int64 of shape (..., n), as `assign` returns them.

    Returns:
        float64 of shape (...) on the device of the scores.
    """
    picked = scores.gather(-1, columns.to(scores.device).unsqueeze(-1)).squeeze(-1)
    return picked.sum(-1, dtype=torch.float64)
