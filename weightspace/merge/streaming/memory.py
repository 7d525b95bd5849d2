"""How much memory a merge takes beside Python and torch, told from its plan."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

import torch

from weightspace.merge.methods.run import CHUNK, columns_of
from weightspace.merge.streaming.lazily import Lazily
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.plan import Plan, Task
from weightspace.merge.streaming.reading import held_bytes

_TEMPORARY = 8  # numbers for each element of a chunk that methods hold beside those of the models
_ARENA = 64 << 20  # bytes of a thread that the C library holds where small things are kept between large ones
_OF_A_MODEL = 4  # numbers for each element of a model: as stored and as computed, task vectors, a copy


def peak_memory(plan: Plan, models: Mapping[str, Model], workers: int) -> int:
    """Bytes that merging takes at most, by the measure of many merges.

    Args:
        plan: What is to be computed.
        models: What tensors are read from.
        workers: Threads.
    """
    working = max((_working(plan, task) for task in plan.tasks), default=0)
    kept = heapq.nlargest(workers, (_kept(plan, task) + held_bytes(plan.method, task, models) for task in plan.tasks))
    whole = sum(_largest(model) for model in models.values() if isinstance(model, Lazily))
    return workers * (working + whole) + sum(kept) + _ARENA * sum(each > 0 for each in kept)


def _working(plan: Plan, task: Task) -> int:
    """What the chunk of a tensor takes while it is worked on."""
    used = len(task.sources) + (task.base is not None)
    rows, columns = _chunk(plan, task)
    size = 8 if task.info.dtype == torch.float64 else 4
    return rows * columns * size * (_OF_A_MODEL * used + _TEMPORARY)


def _kept(plan: Plan, task: Task) -> int:
    """What a measure keeps of all chunks of a tensor until they are joined, the one that keeps most."""
    if task.settings is None:
        return 0
    rows, columns = _chunk(plan, task)
    chunks = math.ceil(math.prod(task.info.shape) / max(1, rows * columns))
    needed = [measure for measure in plan.method.measures if measure.needed(task.settings)]
    return chunks * max((measure.keeps(rows, columns, len(task.sources)) for measure in needed), default=0)


def _chunk(plan: Plan, task: Task) -> tuple[int, int]:
    """Rows and columns of the largest chunk of a tensor; of a method that goes by elements a column of them."""
    shape = task.info.shape
    if task.settings is None or not plan.method.by_rows:
        return min(CHUNK, math.prod(shape)), 1
    columns = columns_of(plan.method, shape)
    rows = shape[0] if len(shape) > 1 else 1
    return min(rows, max(1, CHUNK // max(1, columns))), columns


def _largest(model: Lazily) -> int:
    """Bytes of the largest tensor, twice: it is made of another one."""
    return 2 * max((model.info(name).nbytes for name in model), default=0)
