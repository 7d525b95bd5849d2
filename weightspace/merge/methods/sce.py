"""SCE: where models differ most, weighted by how far they went, where signs agree (Wan et al. 2024).

As mergekit does it, but that task vectors are weighted however short they are: mergekit weights them all alike where
their mean squares come to less than 1e-6, as those of fine-tuned models often do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.election import elected
from weightspace.merge.methods.magnitude import Largest, thresholds
from weightspace.merge.methods.method import Measure, Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings


def _spread(deltas: Sequence[Tensor]) -> Tensor:
    """The variance over n models times n^3: by no division, so that it is 0 where they are equal.

    NaN have no sign.
    """
    first, *others = deltas
    apart = [torch.zeros_like(first), *(other - first for other in others)]
    total = sum(apart[1:], start=apart[0])
    squares = [(each * len(deltas) - total).square_() for each in apart]
    return sum(squares[1:], start=squares[0]).abs_()


def _is_sparse(settings: Settings) -> bool:
    return settings.number("select_topk") < 1


def _selected(chunk: Chunk, settings: Settings, measured: Measured) -> tuple[Tensor, ...]:
    """Task vectors, 0 but where they vary most."""
    deltas = chunk.deltas
    if not _is_sparse(settings):
        return deltas
    (largest,) = thresholds(measured, 0)
    kept = largest.selects(_spread(deltas), chunk.number).view(torch.uint8)
    return tuple(delta * kept for delta in deltas)


def _squares(chunk: Chunk, settings: Settings, measured: Measured) -> list[float]:
    return [float(delta.square().sum(dtype=torch.float64)) for delta in _selected(chunk, settings, measured)]


def _shares(parts: Sequence[list[float]], _: Settings, __: Measured) -> list[float]:
    squares = [sum(of_model) for of_model in zip(*parts, strict=True)]
    return [square / sum(squares) if sum(squares) > 0 else 1 / len(squares) for square in squares]


def _combine(chunk: Chunk, settings: Settings, measured: Measured) -> Tensor:
    shares = measured[-1]
    assert chunk.base is not None
    return elected(_selected(chunk, settings, measured), shares, shares).add_(chunk.base)


_LARGEST = Largest(
    lambda chunk, _: (_spread(chunk.deltas),),
    lambda settings, _, __, nonzero: (int(settings.number("select_topk") * nonzero),),
    _is_sparse,
)

SCE = MergeMethod(
    "sce", "SCE", "the mean of task vectors by their squared lengths, where they vary most and their signs agree",
    "Wan et al. 2024, FuseChat: SCE", _combine, measures=(*_LARGEST.measures, Measure(_squares, _shares)),
    options=(
        Option("select_topk", "share of the elements that differ between models which are merged", 1.0,
               above=0.0, high=1.0),
        Option("int8_mask", "taken for mergekit's recipes; without effect", False, kind="flag"),
    ),
    base="required",
)  # fmt: skip
