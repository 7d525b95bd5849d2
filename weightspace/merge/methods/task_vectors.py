"""Weighted sums of sparse task vectors, added to the base: what task arithmetic, TIES, DARE and others have in common.

They differ in which elements of task vectors they keep, and in whether those that are kept have to agree in sign.
Everything is computed in float32 and rounded once, in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.election import elected
from weightspace.merge.methods.linear import WEIGHT, check_weights
from weightspace.merge.methods.method import Measure, Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings

DENSITY = Option("density", "share of a task vector that is kept", 1.0, per_model=True, above=0.0, high=1.0)


@dataclass(frozen=True)
class Sparsity:
    """Which elements of task vectors are kept.

    Attributes:
        kept: Of one model: bool, of the shape of its task vector, given too; None for all.
        options: What can be set.
        measures: What is measured first.
        check: Refuses settings, see `MergeMethod`.
        by_rows: Whether whole rows are looked at.
    """

    kept: Callable[[Chunk, int, Tensor, Settings, Measured], Tensor | None]
    options: tuple[Option, ...] = (DENSITY,)
    measures: tuple[Measure, ...] = ()
    check: Callable[[Settings], None] = lambda _: None
    by_rows: bool = False


def task_vector_method(
    name: str,
    title: str,
    about: str,
    reference: str,
    *,
    sparsity: Sparsity | None = None,
    elect: bool = False,
    normalize: bool = False,
    rescale: bool = False,
) -> MergeMethod:
    """A method of this family.

    Args:
        name: See `MergeMethod`, as of the next three.
        title: As people write it.
        about: What it does.
        reference: The paper.
        sparsity: What is kept of task vectors; all where it is None.
        elect: Whether elements are dropped whose sign is not that of the weighted sum (TIES, section 4).
        normalize: Whether sums are divided by the weights of what they are over, where it is not set.
        rescale: Whether sparse task vectors are made as long as they were, where it is not set.
    """

    def check(settings: Settings) -> None:
        if sparsity is not None:
            sparsity.check(settings)
        if not elect:
            check_weights(settings, "normalize")

    def combine(chunk: Chunk, settings: Settings, measured: Measured) -> Tensor:
        weights = settings.of_models("weight")
        vectors = list(chunk.deltas)
        for model, weight in enumerate(weights):
            kept = None if sparsity is None else sparsity.kept(chunk, model, vectors[model], settings, measured)
            if kept is not None:
                vectors[model] *= kept.view(torch.uint8)  # faster than bool
                weight *= measured[-1][model] if settings.flag("rescale") else 1.0
            vectors[model] *= weight
        if elect:
            mixed = elected(vectors, (1.0,) * len(vectors), weights if settings.flag("normalize") else None)
        else:
            mixed = sum(vectors[1:], start=vectors[0])
            if settings.flag("normalize"):
                mixed /= sum(weights)
        assert chunk.base is not None
        return mixed.mul_(settings.number("lambda")).add_(chunk.base)

    options = [WEIGHT, *(() if sparsity is None else sparsity.options)]
    over = "those of the models that agree" if elect else "the weights"
    options.append(Option("normalize", f"whether sums are divided by the sum of {over}", normalize, kind="flag"))
    measures: tuple[Measure, ...] = ()
    if sparsity is not None:
        about_rescale = "whether what is kept is scaled to the sum of magnitudes before"
        options.append(Option("rescale", about_rescale, rescale, kind="flag"))
        measures = (*sparsity.measures, _rescaling(sparsity))
    options.append(Option("lambda", "scale of the merged task vector", 1.0))
    options.append(Option("int8_mask", "taken for mergekit's recipes; without effect", False, kind="flag"))
    return MergeMethod(
        name, title, about, reference, combine, options=tuple(options), measures=measures, base="required",
        by_rows=sparsity is not None and sparsity.by_rows, check=check,
    )  # fmt: skip


def _rescaling(sparsity: Sparsity) -> Measure:
    """Of every model the sum of magnitudes over that of those that are kept; 1 where there are none."""

    def sums(chunk: Chunk, settings: Settings, measured: Measured) -> list[tuple[float, float]]:
        found = []
        for model, delta in enumerate(chunk.deltas):
            kept = sparsity.kept(chunk, model, delta, settings, measured)
            magnitudes = delta.abs_()
            before = after = float(magnitudes.sum(dtype=torch.float64))
            if kept is not None:
                after = float(magnitudes.mul_(kept.view(torch.uint8)).sum(dtype=torch.float64))
            found.append((before, after))
        return found

    def scales(parts: Sequence[Any], _: Settings, __: Measured) -> list[float]:
        totals = [[sum(each) for each in zip(*of_model, strict=True)] for of_model in zip(*parts, strict=True)]
        return [before / after if after > 0 else 1.0 for before, after in totals]

    return Measure(sums, scales, lambda settings: settings.flag("rescale") and min(settings.of_models("density")) < 1)


TASK_ARITHMETIC = task_vector_method(
    "task_arithmetic", "Task arithmetic", "the weighted sum of task vectors, added to the base",
    "Ilharco et al. 2023, Editing models with task arithmetic, section 2",
)  # fmt: skip
