"""What a recipe asks of two of its models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsp.pair import PairRequest

if TYPE_CHECKING:
    from weightspace.merge.recipe import Recipe


def pair_request(
    recipe: Recipe,
    reference: Path,
    other: Path,
    *,
    device: str = "cpu",
    heads: tuple[float, float] | None = None,
) -> PairRequest:
    """The request to open, and maybe to align, two models of a recipe.

    Args:
        recipe: The recipe.
        reference: The model that others are aligned to.
        other: Another.
        device: Where to compute.
        heads: Shares of the two where both heads are kept.
    """
    from weightspace.merge.recipe import Alignment

    align, data, shape = recipe.align or Alignment(), recipe.data, recipe.input_shape
    mean, std = (None, None) if data is None else (data.mean, data.std)
    return PairRequest(
        reference, other, recipe.arch, recipe.activation, None if shape is None else tuple(shape),
        None if data is None else Path(data.path), None if mean is None else tuple(mean),
        None if std is None else tuple(std), align.method if recipe.aligns else "weights", align.restarts,
        recipe.seed, device, align.samples, tuple(align.kinds), heads=heads,
    )  # fmt: skip
