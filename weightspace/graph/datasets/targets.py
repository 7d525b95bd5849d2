"""What is known of the networks of a dataset, as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import DataError


def target_row(targets: Mapping[str, float], names: Sequence[str]) -> Tensor:
    """The targets of one network, float32 (1, metrics).

    Args:
        targets: By the name of the metric.
        names: The metrics of the dataset, in order.

    Raises:
        DataError: There are others, or one is no finite number.
    """
    if targets.keys() != set(names):
        raise DataError(
            f"targets: expected {', '.join(names) or 'none'} as of the first network, found "
            f"{', '.join(targets) or 'none'}; give all networks the same metrics"
        )
    for name in names:
        value = targets[name]
        try:
            finite = math.isfinite(value)
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise DataError(f"target '{name}': expected a finite number, found {value!r}; leave this network out")
    return torch.tensor([[float(targets[name]) for name in names]], dtype=torch.float32)
