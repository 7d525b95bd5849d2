"""DELLA: a random part of every task vector, large elements more likely than small ones (Deep et al. 2024).

Of tensors of more than two axes a row is all that belongs to one index of the first, a filter; in mergekit it is not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.task_vectors import DENSITY, Sparsity, task_vector_method

EPSILON = Option("epsilon", "how far probabilities go below and above the density", 0.15, per_model=True, low=0.0)


def _kept(chunk: Chunk, model: int, delta: Tensor, settings: Settings, _: Measured) -> Tensor | None:
    """Probabilities rise evenly with the rank in a row."""
    density, epsilon = settings.of_models("density")[model], settings.of_models("epsilon")[model]
    if density >= 1:
        return None
    columns = delta.shape[1]
    rising = torch.linspace(density - epsilon, density + epsilon, columns) if columns > 1 else torch.tensor([density])
    probabilities = torch.empty(delta.shape).scatter_(1, _ascending(delta), rising.expand(delta.shape))
    return chunk.mask(model, probabilities)


def _ascending(delta: Tensor) -> Tensor:
    """Where the elements of every row are, the smallest magnitude first, of equal ones the first.

    Nonnegative float32 numbers are ordered as their bits are: numpy sorts those with the column below them many times
    faster than anyone sorts indices.
    """
    bits = delta.abs().float().view(torch.int32).long()
    keys = (bits << 32) | torch.arange(delta.shape[1])
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)) & 0xFFFFFFFF


def _check(settings: Settings) -> None:
    for density, epsilon in zip(settings.of_models("density"), settings.of_models("epsilon"), strict=True):
        if density < 1 and not 0 < density - epsilon <= density + epsilon < 1:
            raise MergeError(
                f"option 'epsilon': expected density - epsilon and density + epsilon between 0 and 1, "
                f"found density {density:g} and epsilon {epsilon:g}"
            )


_SPARSITY = Sparsity(_kept, (DENSITY, EPSILON), check=_check, by_rows=True)

DELLA = task_vector_method(
    "della", "DELLA", "random parts of task vectors, more of what is large in a row, scaled up, where signs agree",
    "Deep et al. 2024, DELLA-Merging: MAGPRUNE", sparsity=_SPARSITY, elect=True, normalize=True, rescale=True,
)  # fmt: skip

DELLA_LINEAR = task_vector_method(
    "della_linear", "Linear DELLA", "random parts of task vectors, more of what is large in a row, scaled up",
    "Deep et al. 2024, DELLA-Merging: MAGPRUNE", sparsity=_SPARSITY, rescale=True,
)  # fmt: skip
