"""Operators that make tensors: constants are uniform, counted or random ones are fixed."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Labels, Uniform
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
    aten.linspace.default,
)
def counted(context: Context, call: Call) -> Labels:
    """Values that tell the indices apart."""
    return [context.fixed(size) for size in call.output.shape]


@rule(aten.eye.default, aten.eye.m)
def identity(context: Context, call: Call) -> Labels:
    """The identity matrix stays itself when its rows and columns move together."""
    rows, columns = call.output.shape
    if rows != columns or rows <= 1:
        return [context.fixed(rows), context.fixed(columns)]
    axis = Atom(rows)
    return [axis, axis]
