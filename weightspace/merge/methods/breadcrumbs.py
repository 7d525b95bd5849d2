"""Model Breadcrumbs: task vectors without their largest elements and without their smallest (Davari et al. 2023).

As mergekit does it, but for tensors so small that `gamma` drops nothing: there mergekit drops everything.
"""

from __future__ import annotations

from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.magnitude import Largest, thresholds
from weightspace.merge.methods.method import Measured
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.task_vectors import DENSITY, Sparsity, task_vector_method
from weightspace.merge.methods.ties import is_sparse, magnitudes

GAMMA = Option("gamma", "share of a task vector dropped as too large", 0.01, per_model=True, low=0.0, high=1.0)


def _ranks(settings: Settings, model: int, size: int, _: int) -> tuple[int, ...]:
    """How many are not too small, and how many are too large: fewer than `gamma` says where `density` asks for it."""
    kept = int(settings.of_models("density")[model] * size)
    dropped = min(int(settings.of_models("gamma")[model] * size), size - kept)
    return dropped + kept, dropped


def _kept(chunk: Chunk, model: int, delta: Tensor, settings: Settings, measured: Measured) -> Tensor | None:
    if settings.of_models("density")[model] >= 1:
        return None
    large_enough, too_large = thresholds(measured, model)
    size = delta.abs()
    return large_enough.selects(size, chunk.number) & ~too_large.selects(size, chunk.number)


_SPARSITY = Sparsity(_kept, (DENSITY, GAMMA), Largest(magnitudes, _ranks, is_sparse).measures)

BREADCRUMBS = task_vector_method(
    "breadcrumbs", "Model Breadcrumbs", "task vectors without their largest and smallest elements, added to the base",
    "Davari and Belilovsky 2023, Model Breadcrumbs", sparsity=_SPARSITY,
)  # fmt: skip

BREADCRUMBS_TIES = task_vector_method(
    "breadcrumbs_ties", "Model Breadcrumbs with TIES", "as breadcrumbs, where the signs of task vectors agree",
    "Davari and Belilovsky 2023, Model Breadcrumbs; Yadav et al. 2023", sparsity=_SPARSITY, elect=True,
)  # fmt: skip
