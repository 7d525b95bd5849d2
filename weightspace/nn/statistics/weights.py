"""Statistics of every tensor of networks of one architecture (Unterthiner et al. 2020): StatNN's features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.nn.batch import networks_in
from weightspace.nn.statistics.features import Features
from weightspace.nn.statistics.measures import MEASURES, measures


def weight_statistics(tensors: Mapping[str, Tensor]) -> Features:
    """Mean, variance, quantiles 0, 25, 50, 75 and 100 % and norms of every tensor of every network.

    Invariant to permutations of any kind, since none tells where an element lies; not to scales and signs. It knows
    nothing of the architecture: give the names that count, such as `Blocks.names`.

    Args:
        tensors: By name (networks, *shape); integer and empty tensors are passed over.

    Returns:
        (networks, 9 per tensor), with columns such as ``0.weight.q25``; in the type of the tensors, at least float32.

    Raises:
        SpecError: The tensors hold different numbers of networks, or there is none to measure.
    """
    counted = {name: each for name, each in tensors.items() if each.is_floating_point() and each.numel()}
    networks_in(counted, {name: tuple(each.shape[1:]) for name, each in counted.items()})
    values = [measures(each.flatten(1) if each.dim() > 1 else each[:, None]) for each in counted.values()]
    columns = tuple(f"{name}.{measure}" for name in counted for measure in MEASURES)
    return Features(columns, torch.cat(values, 1))
