"""Re-estimate the running statistics of batch norms from data.

Interpolated weights produce activations whose moments are not the interpolated moments (variance collapse: Jordan et
al. 2022, REPAIR), so the statistics are measured again on the interpolated network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from weightspace.errors import DataError
from weightspace.stats.batchnorm_calls import BatchStatistics, ByBatch, Observed
from weightspace.stats.moments import ChannelMoments

if TYPE_CHECKING:
    from weightspace.data import Batch
    from weightspace.source import Inputs, Program

State = Mapping[str, Tensor]


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
    return _reset(program, state, (lambda run, x=batch[0]: program.prediction(run, x) for batch in batches))


def reset_on_calls(program: Program, state: Mapping[str, Tensor], calls: Iterable[Inputs]) -> dict[str, Tensor]:
    """As `reset_batchnorm`, over whole calls of the network, which may have more inputs than one."""
    return _reset(program, state, (lambda run, inputs=inputs: program.outputs(run, inputs) for inputs in calls))


def _reset(program: Program, state: State, runs: Iterable[Callable[[State], object]]) -> dict[str, Tensor]:
    run = _with_own_addresses(program, state)
    mode = BatchStatistics({tensor.data_ptr(): name for name, tensor in run.items() if name not in program.aliases})
    empty = True
    for call in runs:
        with mode:
            call(run)
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


def observe_batchnorm(
    program: Program, state: Mapping[str, Tensor], calls: Iterable[Inputs]
) -> tuple[dict[tuple[str, str], ChannelMoments], list[Tensor]]:
    """What reaches the batch norms of a network in evaluation mode.

    Args:
        program: The network.
        state: Its weights.
        calls: Calls of it.

    Returns:
        Names of the running mean and variance of every batch norm -> the moments of its input; and all outputs.
    """
    run = _with_own_addresses(program, state)
    mode = Observed({tensor.data_ptr(): name for name, tensor in run.items() if name not in program.aliases})
    outputs: list[Tensor] = []
    for inputs in calls:
        with mode:
            outputs += program.outputs(run, inputs)
    return mode.moments, outputs


def has_batchnorm(program: Program) -> bool:
    """Whether the network normalises by running statistics anywhere; runs it once on its example inputs."""
    mode = BatchStatistics({})
    with mode:
        program.outputs(program.state())
    return mode.calls > 0


def by_batch() -> TorchFunctionMode:
    """A context in which batch norms normalise by the statistics of the batch, everything else as in evaluation.

    So runs a network whose statistics will be reset; gradients go through the statistics.
    """
    return ByBatch({})


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
