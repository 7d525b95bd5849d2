"""Re-estimate the running statistics of batch norms from data.

Interpolated weights produce activations whose moments are not the interpolated moments (variance collapse: Jordan et
al. 2022, REPAIR), so the statistics are measured again on the interpolated network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from weightspace.errors import DataError
from weightspace.stats.moments import ChannelMoments

if TYPE_CHECKING:
    from weightspace.data import Batch
    from weightspace.source import Program


def reset_batchnorm(program: Program, state: Mapping[str, Tensor], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Replace the running mean and variance of every batch norm by those of its input over all batches.

    As in Jordan et al. (2022): the old statistics take no part; while the batches pass, batch norms normalise by the
    statistics of the batch and everything else stays in evaluation mode. The moments are pooled exactly in float64,
    with the variance between batches (which `momentum=None` misses), and unbiased, as torch stores them. Use shuffled,
    equal, large batches: `split.batches(1024, shuffle_seed=0)`.

    Batch norms are recognised by their call of `batch_norm`, not by their class, so that subclasses and other people's
    modules count. A statistic that no such call reads is kept.

    Args:
        program: The network.
        state: Its weights, `program.state_names` -> tensor; not changed.
        batches: `(x, y)` with `x` `(N, ...)`; labels are not used.

    Returns:
        A new state; tensors other than running statistics are the same objects. `num_batches_tracked` is kept.

    Raises:
        DataError: No batch, or a batch norm that sees a single value per channel in a batch.
    """
    run = _with_own_addresses(program, state)
    mode = _BatchStatistics({tensor.data_ptr(): name for name, tensor in run.items() if name not in program.aliases})
    empty = True
    for batch in batches:
        with mode:
            program.prediction(run, batch[0])
        if mode.single is not None:
            raise DataError(
                f"{mode.single}: expected several values per channel in every batch, found one; use larger batches"
            )
        empty = False
    if empty:
        raise DataError("batch norm statistics: expected at least one batch, found none; give data with examples")
    measured = mode.measured()
    reset = {}
    for name in state:
        value = measured.get(program.aliases.get(name, name))
        reset[name] = state[name] if value is None else value.to(state[name])
    return reset


def has_batchnorm(program: Program) -> bool:
    """Whether the network normalises by running statistics anywhere; runs it once on its example inputs."""
    mode = _BatchStatistics({})
    with mode:
        program.outputs(program.state())
    return mode.calls > 0


def by_batch() -> TorchFunctionMode:
    """A context in which batch norms normalise by the statistics of the batch, everything else as in evaluation.

    So runs a network whose statistics will be reset; gradients go through the statistics.
    """
    return _ByBatch({})


def _with_own_addresses(program: Program, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state, in tensors that the program uses as they are, so that a statistic is recognised by its address."""
    floating = [tensor.dtype for tensor in state.values() if tensor.is_floating_point()]
    dtype = max([torch.float32, *floating], key=lambda dtype: dtype.itemsize)
    run: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            # Two statistics may share memory, for example two views of one tensor of zeros.
            tensor = tensor.to(dtype, copy=tensor.ndim == 1)
        run[name] = tensor
    return {name: run.get(program.aliases.get(name, name), tensor) for name, tensor in run.items()}


class _BatchStatistics(TorchFunctionMode):
    """Lets batch norms with known running statistics normalise by the batch, and collects the moments of their input.

    Args:
        names: Address of a running statistic -> its name in the state.

    Attributes:
        calls: Batch norms with running statistics seen so far, known or not.
        single: Name of the running mean of a batch norm that saw one value per channel, which has no variance.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.calls = 0
        self.single: str | None = None
        self._names = names
        self._moments: dict[tuple[str, str], ChannelMoments] = {}

    def measured(self) -> dict[str, Tensor]:
        """Name of each running statistic -> its new value, float64."""
        new: dict[str, Tensor] = {}
        for (mean, variance), moments in self._moments.items():
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
        self._moments.setdefault((names[0], names[1]), ChannelMoments()).add(x)
        return True


class _ByBatch(_BatchStatistics):
    """Lets every batch norm normalise by the batch, and collects nothing."""

    def _collect(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> bool:
        return mean is not None and variance is not None and x.numel() > x.shape[1]
