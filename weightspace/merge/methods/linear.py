"""Weighted means: linear merges and model soups (Wortsman et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings

WEIGHT = Option("weight", "how much a model counts", 1.0, per_model=True)


def _linear(chunk: Chunk, settings: Settings, measured: Measured) -> Tensor:
    weights = settings.of_models("weight")
    total = sum(weights) if settings.flag("normalize") else 1.0
    merged = chunk.tensors[0] * (weights[0] / total)
    for tensor, weight in zip(chunk.tensors[1:], weights[1:], strict=True):
        merged.add_(tensor, alpha=weight / total)
    return merged


def check_weights(settings: Settings, normalized: str | None = None) -> None:
    """Checks that weights which are divided by their sum have one.

    Args:
        settings: With the option `weight`.
        normalized: The option that says whether they are divided; without it they are.

    Raises:
        MergeError: Their sum is 0.
    """
    weights = settings.of_models("weight")
    if (normalized is None or settings.flag(normalized)) and abs(sum(weights)) < 1e-8:
        raise MergeError(f"option 'weight': expected numbers whose sum is not 0, found {', '.join(map(str, weights))}")


LINEAR = MergeMethod(
    "linear", "Linear", "the weighted mean of the weights", "Wortsman et al. 2022, Model soups, section 2", _linear,
    options=(WEIGHT, Option("normalize", "whether weights are divided by their sum", True, kind="flag")),
    check=lambda settings: check_weights(settings, "normalize"),
)  # fmt: skip
