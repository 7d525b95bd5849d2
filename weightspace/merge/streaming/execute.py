"""Compute a plan tensor by tensor and chunk by chunk: no more is held than some chunks of each model.

Several threads work at once, each on a tensor, the largest first. What a chunk takes stays in a core's cache, pieces of
files are read and not mapped, and every piece of the result is written to its place at once.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

import torch
from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import drawing
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.run import CHUNK, merged_chunks
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.plan import Plan, Task
from weightspace.merge.streaming.reading import Reading

_SAVED_EVERY = 1.0  # seconds: what a kill may cost


class _StoppedError(Exception):
    """Another tensor has failed, or the user has had enough."""


class Output(Protocol):
    """Where results go; `weightspace.checkpoint.unfinished.Unfinished` is one."""

    done: frozenset[str]

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Takes some elements of a flattened tensor, in its type."""
        ...

    def finished(self, name: str) -> None:
        """A tensor is whole."""
        ...

    def save(self) -> None:
        """What is whole should survive."""
        ...


def execute(
    plan: Plan,
    models: Mapping[str, Model],
    output: Output,
    *,
    workers: int | None = None,
    progress: Callable[[float, float, str], None] | None = None,
) -> None:
    """Computes and writes every tensor that is not done yet.

    Args:
        plan: What to compute.
        models: What it is computed from.
        output: Where it goes.
        workers: Threads; by default as many as there are cores.
        progress: Called with (bytes done, bytes in all, name of the tensor).

    Raises:
        MergeError: A result is not finite.
        OutputError: The disk refuses.
    """
    left = sorted((task for task in plan.tasks if task.name not in output.done), key=lambda task: -task.info.nbytes)
    total = sum(task.info.nbytes for task in plan.tasks)
    done = total - sum(task.info.nbytes for task in left)
    count = workers or threads()
    stop, saved = threading.Event(), time.monotonic()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        running: set[Future[Task]] = set()
        waiting = iter(left)
        try:
            while True:
                for task in waiting:
                    running.add(pool.submit(_compute, plan, task, models, output, stop))
                    if len(running) > count:
                        break
                if not running:
                    break
                over, running = wait(running, timeout=_SAVED_EVERY, return_when=FIRST_COMPLETED)
                for future in over:
                    task = future.result()
                    done += task.info.nbytes
                    if progress is not None:
                        progress(done, total, task.name)
                if time.monotonic() - saved >= _SAVED_EVERY:  # the disk takes longer than a small tensor
                    output.save()
                    saved = time.monotonic()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    output.save()


def threads() -> int:
    """Threads that a merge works on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compute(plan: Plan, task: Task, models: Mapping[str, Model], output: Output, stop: threading.Event) -> Task:
    if task.info.nbytes:
        for start, values in _results(plan.method, plan.seed, task, models, stop):
            written = values.to(task.info.dtype)
            if not bool(_summable(written).sum().isfinite()):
                _check_finite(task, models, start, written)
            output.write(task.name, start, written)
    output.finished(task.name)
    return task


def _check_finite(task: Task, models: Mapping[str, Model], start: int, values: Tensor) -> None:
    """Refuses numbers that are not finite, and says where they come from. A sum alone may overflow."""
    if _finite(values):
        return
    for model, name in (*task.sources, *(() if task.base is None else (task.base,))):
        if not _finite(models[model].piece(name, start, start + len(values))):
            raise MergeError(f"{model}: tensor '{name}': expected finite numbers, found others; use another checkpoint")
    raise MergeError(
        f"tensor '{task.name}': expected finite results in {task.info.dtype}, found others; use a wider dtype"
    )


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(_summable(values)).all())


def _summable(values: Tensor) -> Tensor:
    """The same numbers in a type that has sums and knows what is finite: 8-bit types do neither."""
    return values.float() if values.dtype.itemsize == 1 else values


def _results(
    method: MergeMethod, seed: int, task: Task, models: Mapping[str, Model], stop: threading.Event
) -> Iterator[tuple[int, Tensor]]:
    """The merged elements of a tensor, piece by piece: where they begin, and they themselves."""
    if task.settings is None:
        model, name = task.sources[0]
        count = math.prod(task.info.shape)
        for start in range(0, count, CHUNK):
            if stop.is_set():
                raise _StoppedError
            yield start, models[model].piece(name, start, min(start + CHUNK, count))
        return
    reading = Reading(method, task, models)

    def read(start: int, end: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if stop.is_set():
            raise _StoppedError
        return reading(start, end)

    yield from merged_chunks(method, task.settings, task.info.shape, read, drawing(seed, task.name))
