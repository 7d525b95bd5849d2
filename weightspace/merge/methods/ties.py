"""TIES: the largest elements of task vectors, those that agree in sign (Yadav et al. 2023)."""

from __future__ import annotations

from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.magnitude import Largest, thresholds
from weightspace.merge.methods.method import Measured
from weightspace.merge.methods.option import Settings
from weightspace.merge.methods.task_vectors import Sparsity, task_vector_method


def magnitudes(chunk: Chunk, _: Settings) -> list[Tensor]:
    """Of the task vectors."""
    return [delta.abs_() for delta in chunk.deltas]


def is_sparse(settings: Settings) -> bool:
    """Whether any task vector is not kept as it is."""
    return min(settings.of_models("density")) < 1


def _ranks(settings: Settings, model: int, size: int, _: int) -> tuple[int, ...]:
    return (int(settings.of_models("density")[model] * size),)


def _kept(chunk: Chunk, model: int, delta: Tensor, settings: Settings, measured: Measured) -> Tensor | None:
    if settings.of_models("density")[model] >= 1:
        return None
    (largest,) = thresholds(measured, model)
    return largest.selects(delta.abs(), chunk.number)


TIES = task_vector_method(
    "ties", "TIES", "the largest elements of every task vector, where their signs agree, added to the base",
    "Yadav et al. 2023, TIES-merging, section 4",
    sparsity=Sparsity(_kept, measures=Largest(magnitudes, _ranks, is_sparse).measures), elect=True, normalize=True,
)  # fmt: skip
