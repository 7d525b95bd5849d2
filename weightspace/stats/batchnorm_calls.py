"""Batch norms recognised by their call while a network runs, whatever class they are of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from weightspace.stats.moments import ChannelMoments


class BatchStatistics(TorchFunctionMode):
    """Lets batch norms with known running statistics normalise by the batch, and collects the moments of their input.

    Args:
        names: Address of a running statistic -> its name in the state.

    Attributes:
        calls: Batch norms with running statistics seen so far, known or not.
        single: Name of the running mean of a batch norm that saw one value per channel, which has no variance.
        moments: Names of running mean and variance -> moments of the input of that batch norm.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.calls = 0
        self.single: str | None = None
        self._names = names
        self.moments: dict[tuple[str, str], ChannelMoments] = {}

    def measured(self) -> dict[str, Tensor]:
        """Name of each running statistic -> its new value, float64."""
        new: dict[str, Tensor] = {}
        for (mean, variance), moments in self.moments.items():
            assert moments.mean is not None
            new[mean], new[variance] = moments.mean, moments.variance(unbiased=True)
        return new

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return self._functional(*args, **kwargs)
        if func in (torch.batch_norm, torch.ops.aten.batch_norm, torch.ops.aten.batch_norm.default):
            return self._aten(*args, **kwargs)
        return func(*args, **kwargs)

    def _functional(
        self, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
    ):
        if self._collect(input, running_mean, running_var):
            return F.batch_norm(input, None, None, weight, bias, True, 0.0, eps)
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)

    def _aten(self, input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
        if self._collect(input, running_mean, running_var):
            return torch.batch_norm(input, weight, bias, None, None, True, 0.0, eps, cudnn_enabled)
        return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)

    def _collect(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> bool:
        """Add the moments of `x` if the statistics belong to the state; says whether they do."""
        if mean is None or variance is None:
            return False
        self.calls += 1
        names = self._names.get(mean.data_ptr()), self._names.get(variance.data_ptr())
        if names[0] is None or names[1] is None:
            return False
        if x.numel() == x.shape[1]:
            self.single = names[0]
            return False
        self.moments.setdefault((names[0], names[1]), ChannelMoments()).add(x)
        return True


class ByBatch(BatchStatistics):
    """Lets every batch norm normalise by the batch, and collects nothing."""

    def _collect(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> bool:
        return mean is not None and variance is not None and x.numel() > x.shape[1]


class Observed(BatchStatistics):
    """Collects the moments of the inputs of batch norms, which normalise by their running statistics as ever."""

    def _collect(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> bool:
        super()._collect(x, mean, variance)
        return False
