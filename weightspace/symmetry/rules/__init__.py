"""What every ATen operator does to the labels of its tensors: one file per family of operators."""

from __future__ import annotations

import torch

from weightspace.symmetry.rules import (  # noqa: F401 - importing a family registers its rules
    attention,
    convolution,
    diagonal,
    experts,
    factory,
    fold,
    indexing,
    join,
    linalg,
    matrix,
    normalization,
    pointwise,
    reduction,
    scatter,
    selection,
    spatial,
    spectral,
    strided,
    view,
)
from weightspace.symmetry.rules.registry import Rule, covered, registered


def find_rule(overload: torch._ops.OpOverload) -> Rule | None:
    """The rule of an overload: its own, else the point-wise one where PyTorch tags the operator so, else None."""
    own = registered(overload)
    if own is not None:
        return own
    if torch.Tag.pointwise in overload.tags and torch.Tag.nondeterministic_seeded not in overload.tags:
        return pointwise.pointwise
    return None


__all__ = ["Rule", "covered", "find_rule"]
