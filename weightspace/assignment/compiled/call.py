"""The compiled solver on tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weightspace.assignment.compiled.entry import optimise_all
from weightspace.assignment.matching import LARGEST, Matching

# For every dtype the integers of the same size, and the bits of the first number that is too large: infinity, or a
# double with which sums could overflow.
_BITS = {torch.float32: (np.int32, 0x7F800000), torch.float64: (np.int64, int(np.float64(LARGEST).view(np.int64)))}


def solve_compiled(scores: Tensor, start: tuple[Tensor, Tensor] | None) -> Matching | None:
    """Solves matrices exactly: float64 scores in float64, all others in float32; prices always in float64.

    Args:
        scores: (..., n, m) with n <= m, any floating dtype and device.
        start: columns int64 (..., n) and prices float64 (..., m) to start from.

    Returns:
        The matching; None if a score is not finite.
    """
    kind = torch.float64 if scores.dtype == torch.float64 else torch.float32
    matrices = np.ascontiguousarray(scores.detach().to("cpu", kind).numpy())
    *batch, n, m = matrices.shape
    columns, prices = np.empty((*batch, m), np.int64), np.empty((*batch, m))
    if start is not None:
        columns[..., :n], prices[...] = start[0].numpy(), start[1].numpy()
    value, gap = np.empty(batch), np.empty(batch)
    integers, limit = _BITS[kind]
    count = value.size
    flat = matrices.reshape(count, n, m)
    finite = optimise_all(
        flat,
        flat.view(integers),
        prices.reshape(count, m),
        columns.reshape(count, m),
        value.reshape(count),
        gap.reshape(count),
        start is not None,
        limit,
    )
    if not finite:
        return None
    found = columns if n == m else columns[..., :n].copy()
    return Matching(*map(torch.from_numpy, (found, prices, value, gap)))
