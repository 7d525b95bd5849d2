"""Operators that lay tensors side by side: concatenation, stacking, padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from weightspace.symmetry.axis import Run
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.choice import Values
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Fixed, Label, Labels, Sum, Uniform, Varying, resolve, side_by_side, structure
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten.cat.default)
def cat(context: Context, call: Call) -> Labels:
    """A sum along one dimension; the others are made equal."""
    # An empty vector may be concatenated with anything, by an old rule of the operator.
    tensors = [ref for ref in call["tensors"] if ref.shape != (0,)]
    if not tensors:
        return [Uniform(0)]
    rank = len(call.output.shape)
    along = call["dim"] % rank
    numbers = _numbers(context, call, tensors)
    result: Labels = []
    for dim in range(rank):
        merged: Label = Uniform(tensors[0].shape[dim])
        if dim != along:
            for ref in tensors:
                merged = context.unify(merged, context.get(ref, valued=numbers)[dim])
        result.append(merged)
    result[along] = resolve(side_by_side([context.get(ref, valued=numbers)[along] for ref in tensors]))
    return [resolve(label) for label in result]


def _numbers(context: Context, call: Call, tensors: Sequence[TensorRef]) -> bool:
    """Whether all tensors hold numbers of indices of axes of one size: of one axis from now on, as the result does."""
    values = [context.values[ref.key] for ref in tensors if ref.key in context.values]
    if len(values) < len(tensors) or len({each.label.size for each in values}) > 1:
        return False
    axis: Label = Uniform(values[0].label.size)
    for each in values:
        axis = context.unify(axis, each.label)
    context.assign(call.output, Values(axis, call.output.key, any(each.tied for each in values)))
    return True


@rule(aten.stack.default)
def stack(context: Context, call: Call) -> Labels:
    """A new dimension, along which the labels of the others may vary."""
    tensors = [context.get(ref) for ref in call["tensors"]]
    along = call["dim"] % len(call.output.shape)
    case = context.algebra.new_case()
    result: Labels = []
    for column in zip(*tensors, strict=True):
        first = column[0]
        if all(isinstance(label, Fixed) for label in column) or len({structure(label) for label in column}) == 1:
            result.append(first)
        else:
            result.append(Varying(column, case))
    varies = any(isinstance(label, Varying) for label in result)
    count = len(tensors)
    result.insert(along, side_by_side([Fixed(1, "stack")] * count, case) if varies else context.fixed(count))
    return result


@rule(aten.constant_pad_nd.default)
def pad(context: Context, call: Call) -> Labels:
    """Constant entries on one or both sides; the two sides hold the same value and so form one part."""
    labels = context.get(call["self"])
    padding = call["pad"]
    for number in range(len(padding) // 2):
        low, high = padding[2 * number], padding[2 * number + 1]
        dim = len(labels) - 1 - number
        if low < 0 or high < 0:
            context.freeze(labels[dim])
            labels[dim] = context.fixed(call.output.shape[dim])
        elif low or high:
            inside = labels[dim]
            runs = [Run(0, 0, low), Run(1, 0, inside.size), Run(0, low, high)]
            labels[dim] = resolve(Sum([Uniform(low + high), inside], runs))
    return labels
