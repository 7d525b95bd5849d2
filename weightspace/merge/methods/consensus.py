"""Consensus merging: the elements that several tasks use, by TALL masks (Wang et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings


def _consensus(chunk: Chunk, settings: Settings, _: Measured) -> Tensor:
    """Task t uses an element where |tau_t| >= lambda_t |tau - tau_t|, tau the sum over tasks: its TALL mask."""
    deltas = chunk.deltas
    total = sum(deltas[1:], start=deltas[0])
    users = torch.zeros(total.shape, dtype=torch.int32)
    for delta, threshold in zip(deltas, settings.of_models("tall_lambda"), strict=True):
        users += delta.abs() >= (total - delta).abs_().mul_(threshold)
    assert chunk.base is not None
    return total.mul_(users >= settings.number("consensus")).mul_(settings.number("lambda")).add_(chunk.base)


def _check(settings: Settings) -> None:
    least, models = settings.number("consensus"), len(settings.of_models("tall_lambda"))
    if least != int(least) or least > models:
        raise MergeError(f"option 'consensus': expected a whole number of at most {models} models, found {least:g}")


CONSENSUS = MergeMethod(
    "consensus", "Consensus", "the sum of task vectors without what fewer than so many tasks use, added to the base",
    "Wang et al. 2024, Localizing task information for improved model merging and compression",
    _consensus,
    options=(
        Option("tall_lambda", "how much a task's own share must weigh against the others'", 0.4, per_model=True,
               low=0.0),
        Option("consensus", "how many tasks must use an element for it to be kept", 2.0, low=0.0),
        Option("lambda", "scale of the merged task vector", 1.0),
    ),
    base="required", models=(2, None), check=_check,
)  # fmt: skip
