"""The compiled solver on tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weightspace.assignment.compiled.entry import optimise_all

# For every dtype the integers of the same size, and the bits of infinity.
_BITS = {np.dtype(np.float32): (np.int32, 0x7F800000), np.dtype(np.float64): (np.int64, 0x7FF0000000000000)}


def solve_compiled(scores: Tensor, start: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Solves matrices exactly: float64 scores in float64, all others in float32; prices always in float64.

    Args:
        scores: (b, n, m) with n <= m, any floating dtype and device.
        start: columns int64 (b, n) and prices float64 (b, m) to start from.

    Returns:
        columns int64 (b, n), prices float64 (b, m), values and gaps float64 (b,), on the CPU; None if a score is not
        finite.
    """
    kind = torch.float64 if scores.dtype == torch.float64 else torch.float32
    matrix = scores.detach().to("cpu", kind).contiguous().numpy()
    count, n, m = matrix.shape
    columns, prices = np.empty((count, m), np.int64), np.empty((count, m))
    if start is not None:
        columns[:, :n], prices[:] = start[0].numpy(), start[1].numpy()
    value, gap = np.empty(count), np.empty(count)
    integers, limit = _BITS[matrix.dtype]
    if not optimise_all(matrix, matrix.view(integers), prices, columns, value, gap, start is not None, limit):
        return None
    found = (columns[:, :n], prices, value, gap)
    columns_found, prices_found, values, gaps = (torch.from_numpy(array) for array in found)
    return columns_found, prices_found, values, gaps
