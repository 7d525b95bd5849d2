"""Convolutions: plain, grouped, depth-wise, transposed, in any number of dimensions."""

from __future__ import annotations

import torch

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Product, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten.convolution.default)
def convolution(context: Context, call: Call) -> Labels:
    """Contracts input channels; with g groups both sides are g x channels of a group. Space stays in place."""
    spatial = _spatial(context, call)
    try:
        channels = _channels(context, call)
    except MisfitError as misfit:
        why = f"{call.name}: {misfit}"
        context.freeze(context.get(call["input"])[1], *context.get(call["weight"])[:2], why=why)
        channels = context.fixed(call.output.shape[1])
    if call["bias"] is not None:
        channels = context.unify(channels, context.get(call["bias"])[0])
    return [context.get(call["input"])[0], resolve(channels), *spatial]


def _spatial(context: Context, call: Call) -> Labels:
    """Freezes space, but for dimensions that the kernel does not look along (size 1, stride 1, no padding)."""
    x, weight = call["input"], call["weight"]
    result: Labels = []
    for dim in range(len(x.shape) - 2):
        stride, padding = (call[key][dim] if len(call[key]) > 1 else call[key][0] for key in ("stride", "padding"))
        extra = call["output_padding"][dim] if call["transposed"] and len(call["output_padding"]) > dim else 0
        label = context.get(x)[2 + dim]
        if weight.shape[2 + dim] == 1 and stride == 1 and padding == 0 and extra == 0:
            result.append(label)
        else:
            context.freeze(label, context.get(weight)[2 + dim], why="spatial")
            result.append(context.fixed(call.output.shape[2 + dim], label))
    return result


def _channels(context: Context, call: Call) -> Label:
    algebra, groups = context.algebra, call["groups"]
    x = context.get(call["input"])[1]
    weight = context.get(call["weight"])
    if call["transposed"]:  # weight: (in, out / groups, ...)
        read = algebra.join(x, weight[0])
        outer, inner = algebra.plain(algebra.split(read, groups))
        written = weight[1]
    elif groups == 1:  # weight: (out, in, ...)
        outer, inner = Uniform(1), algebra.join(x, weight[1])
        written = weight[0]
    else:  # weight: (out, in / groups, ...)
        x_outer, x_inner = algebra.plain(algebra.split(x, groups))
        out_outer, written = algebra.plain(algebra.split(weight[0], groups))
        outer, inner = algebra.join(x_outer, out_outer), algebra.join(x_inner, weight[1])
    # One index each: the group belongs to the channels of both sides, and neither side is summed over it.
    batch, _, *places = context.get(call["input"])
    taps = context.get(call["weight"])[2:]
    context.contract([batch, resolve(outer), resolve(written), resolve(inner), *places, *taps])
    return resolve(Product([outer, written]))
