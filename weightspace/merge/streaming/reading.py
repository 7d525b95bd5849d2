"""The pieces of one tensor in all models, held where they are small, as measures go over them several times."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.plan import Task

_MOST = 96 << 20  # bytes: reading comes close to computing, and no more than this is wanted of a thread's memory


def held_bytes(method: MergeMethod, task: Task, models: Mapping[str, Model]) -> int:
    """Bytes of a tensor in all models that are held until it is merged; 0 where it is read anew in every pass."""
    if task.settings is None or not any(measure.needed(task.settings) for measure in method.measures):
        return 0
    size = sum(models[model].info(name).nbytes for model, name in _places(task))
    return size if size <= _MOST else 0


class Reading:
    """Reads pieces of a tensor.

    Args:
        method: Which goes over them.
        task: The tensor.
        models: What it is read from.
    """

    def __init__(self, method: MergeMethod, task: Task, models: Mapping[str, Model]) -> None:
        self._task, self._models = task, models
        self._held: dict[int, list[Tensor]] | None = {} if held_bytes(method, task, models) else None

    def __call__(self, start: int, stop: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Elements of the flattened tensor of all models, and of the base; the same stops for the same starts."""
        pieces = None if self._held is None else self._held.get(start)
        if pieces is None:
            pieces = [self._models[model].piece(name, start, stop) for model, name in _places(self._task)]
            if self._held is not None:
                self._held[start] = pieces
        count = len(self._task.sources)
        return tuple(pieces[:count]), None if self._task.base is None else pieces[count]


def _places(task: Task) -> tuple[tuple[str, str], ...]:
    """Model and name of every tensor that one is merged from, the base last."""
    return (*task.sources, *(() if task.base is None else (task.base,)))
