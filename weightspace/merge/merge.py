"""Merge two aligned networks into one that works: the weights, then the statistics that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from weightspace.merge.interpolate import interpolate
from weightspace.stats import has_batchnorm, reset_batchnorm

if TYPE_CHECKING:
    from weightspace.data import Batch
    from weightspace.source import Program

_INTERPOLATED = "statistics of batch norms were interpolated, which often ruins a merge; give data to measure them"


@dataclass(frozen=True)
class Merged:
    """A merged network.

    Attributes:
        tensors: Its weights, in the dtypes of the first network.
        statistics: Whether the running statistics of its batch norms were `measured` on data, were `interpolated` like
            weights, were `kept` since it is one of the models, or whether there are `none`.
        notes: What the user ought to know, one line each.
    """

    tensors: dict[str, Tensor]
    statistics: Literal["measured", "interpolated", "kept", "none"]
    notes: tuple[str, ...] = ()


def merge(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    *,
    t: float = 0.5,
    program: Program | None = None,
    batches: Iterable[Batch] | None = None,
) -> Merged:
    """Interpolate two aligned networks and re-estimate the statistics of batch norms where that is possible.

    Args:
        a: Weights of the reference.
        b: Weights of the other network, aligned to `a`.
        t: Share of `b`.
        program: The network that the weights belong to.
        batches: Data to measure on; shuffled, large batches of the training set (see `reset_batchnorm`).

    Returns:
        The merged weights and what became of the statistics.

    Raises:
        CheckpointMismatchError: `a` and `b` differ in a name or a shape.
        DataError: `batches` is empty or too small to measure on.
    """
    return finished(interpolate(a, b, t), {name: tensor.dtype for name, tensor in a.items()}, program, batches)


def finished(
    state: Mapping[str, Tensor],
    dtypes: Mapping[str, torch.dtype],
    program: Program | None,
    batches: Iterable[Batch] | None,
) -> Merged:
    """Merged weights in the dtypes that they had before, with the statistics of their batch norms measured.

    Args:
        state: The merged weights, in float32 or wider: half precision is slow and coarse on a CPU.
        dtypes: The type of every tensor.
        program: The network.
        batches: As for `merge`; without them or the network statistics stay what they are.

    Raises:
        DataError: `batches` is empty or too small to measure on.
    """
    told, notes = "none", ()
    if _has_statistics(state, program):
        if program is not None and batches is not None:
            state, told = reset_batchnorm(program, state, batches), "measured"
        else:
            told, notes = "interpolated", (_INTERPOLATED,)
    return Merged({name: tensor.to(dtypes[name]) for name, tensor in state.items()}, told, notes)


def _has_statistics(state: Mapping[str, Tensor], program: Program | None) -> bool:
    if program is not None:
        return has_batchnorm(program)
    return any(name.rpartition(".")[2] == "running_var" for name in state)
