"""Statistics of networks of any architecture, as vectors of one length: those of their layers, aggregated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.nn.statistics.features import Features
from weightspace.nn.statistics.measures import MEASURES, measures

KINDS = ("weights", "vectors")
AGGREGATES = ("first", "last", "mean", "min", "max")
COUNTS = ("tensors", "log_elements")
COLUMNS = tuple(
    f"{kind}.{name}"
    for kind in KINDS
    for name in (*COUNTS, *(f"{aggregate}.{measure}" for aggregate in AGGREGATES for measure in MEASURES))
)


def summary_statistics(networks: Sequence[Mapping[str, Tensor]]) -> Features:
    """What `weight_statistics` measures, aggregated over the tensors of a network.

    Weights (tensors of two axes or more) and vectors (biases, norm scales and shifts, running statistics) count apart.
    Of each kind: number of tensors, logarithm of the number of elements plus one, and every statistic of the first and
    the last tensor and its mean, minimum and maximum over all of them. A kind that a network does not have is zero
    throughout. Invariant to permutations of any kind.

    Args:
        networks: Tensors of each network by name, of any shapes, in the order of its layers.

    Returns:
        (networks, 94), float64, with columns such as ``weights.first.q25``.

    Raises:
        SpecError: There is no network, or one without floating tensors.
    """
    if not networks:
        raise SpecError("expected at least one network, found none; give the networks to describe")
    return Features(COLUMNS, torch.stack([_summary(network, place) for place, network in enumerate(networks)]))


def _summary(network: Mapping[str, Tensor], place: int) -> Tensor:
    counted = [tensor for tensor in network.values() if tensor.is_floating_point() and tensor.numel()]
    if not counted:
        raise SpecError(f"network {place}: expected floating tensors, found none; give weights")
    weights = [tensor for tensor in counted if tensor.dim() > 1]
    vectors = [tensor for tensor in counted if tensor.dim() <= 1]
    return torch.cat([_aggregated(weights), _aggregated(vectors)])


def _aggregated(tensors: Sequence[Tensor]) -> Tensor:
    """Counts and aggregates of the tensors of one kind, (47,)."""
    if not tensors:
        return torch.zeros(len(COLUMNS) // len(KINDS), dtype=torch.float64)
    each = torch.cat([measures(tensor.reshape(1, -1)).double() for tensor in tensors]).cpu()
    elements = torch.tensor(sum(tensor.numel() for tensor in tensors), dtype=torch.float64)
    counts = torch.stack([elements.new_tensor(len(tensors)), elements.log1p()])
    return torch.cat([counts, each[0], each[-1], each.mean(0), each.amin(0), each.amax(0)])
