"""Operators that make tensors: constants are uniform, counted or random ones are fixed."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Uniform
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.full.default,
    aten.full_like.default,
    aten.new_empty.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones.default,
    aten.ones_like.default,
    aten.scalar_tensor.default,
    aten.zeros.default,
    aten.zeros_like.default,
)
def constant(context: Context, call: Call) -> Labels:
    """One value everywhere; storage that is written later gets atoms instead, see `Context`."""
    return [Uniform(size) for size in call.output.shape]


@rule(
    aten.arange.default,
    aten.arange.start,
    aten.arange.start_step,
    aten.eye.default,
    aten.eye.m,
    aten.linspace.default,
)
def counted(context: Context, call: Call) -> Labels:
    """Values that tell the indices apart."""
    return [context.fixed(size) for size in call.output.shape]
