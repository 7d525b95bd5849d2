"""DARE: a random part of every task vector, scaled up (Yu et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured
from weightspace.merge.methods.option import Settings
from weightspace.merge.methods.task_vectors import Sparsity, task_vector_method


def _kept(chunk: Chunk, model: int, delta: Tensor, settings: Settings, _: Measured) -> Tensor | None:
    density = settings.of_models("density")[model]
    return None if density >= 1 else chunk.mask(model, torch.full_like(delta, density))


DARE_LINEAR = task_vector_method(
    "dare_linear", "DARE", "a random part of every task vector, scaled up and added to the base",
    "Yu et al. 2024, Language models are super Mario; scaled as mergekit does, not by 1 / density",
    sparsity=Sparsity(_kept), rescale=True,
)  # fmt: skip

DARE_TIES = task_vector_method(
    "dare_ties", "DARE with TIES", "a random part of every task vector, scaled up, where signs agree",
    "Yu et al. 2024, Language models are super Mario; Yadav et al. 2023",
    sparsity=Sparsity(_kept), rescale=True, elect=True,
)  # fmt: skip
