"""Channels and positions of a window exchanged: unfolding and folding, pixel shuffling."""

from __future__ import annotations

import torch

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Product, Uniform, factors, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten.im2col.default, aten.pixel_unshuffle.default)
def unfold(context: Context, call: Call) -> Labels:
    """(..., C, H, W) -> (..., C x window, positions...): the places in a window become inner channels."""
    *lead, channel, height, width = context.get(call["self"])
    context.freeze(height, width, why="spatial")
    axis = len(lead)
    window = context.fixed(call.output.shape[axis] // channel.size)
    positions = [context.fixed(size, height) for size in call.output.shape[axis + 1 :]]
    return [*lead, resolve(Product([channel, window])), *positions]


@rule(aten.col2im.default, aten.pixel_shuffle.default)
def fold(context: Context, call: Call) -> Labels:
    """(..., C x window, positions...) -> (..., C, H, W): inner channels become the places in a window."""
    shape = call.output.shape
    axis = len(shape) - 3
    labels = context.get(call["self"])
    lead, channels, positions = labels[:axis], labels[axis], labels[axis + 1 :]
    context.freeze(*positions, why="spatial")
    try:
        channel, window = context.algebra.plain(context.algebra.split(channels, shape[axis]))
        context.freeze(window, why="spatial")
        context.contract([*lead, channel, window])
    except MisfitError as misfit:
        context.freeze(channels, why=f"{call.name}: {misfit}")
        channel = context.fixed(shape[axis])
    return [*lead, resolve(channel), *(context.fixed(size, positions[0]) for size in shape[axis + 1 :])]


@rule(aten.unfold.default)
def windows(context: Context, call: Call) -> Labels:
    """Windows of a dimension, whose places become the last dimension; windows side by side take it apart."""
    size, step = call["size"], call["step"]
    if not call["self"].shape:
        return [Uniform(1)]
    dim = call["dimension"] % len(call["self"].shape)
    labels = context.get(call["self"])
    count = call.output.shape[dim]
    try:
        if step != size or count * size != labels[dim].size:
            raise MisfitError("windows overlap or leave gaps")
        labels[dim], place = context.algebra.plain(context.algebra.split(labels[dim], count))
    except MisfitError:
        context.freeze(labels[dim])
        labels = context.get(call["self"])
        origin = labels[dim]
        labels[dim], place = context.fixed(count, origin), context.fixed(size)
    return [*map(resolve, labels), resolve(place)]


@rule(aten.channel_shuffle.default)
def channel_shuffle(context: Context, call: Call) -> Labels:
    """Channels of g groups, (N, g x n, ...), in the order (N, n x g, ...)."""
    labels = context.get(call["self"])
    try:
        group, channel = context.algebra.plain(context.algebra.split(labels[1], call["groups"]))
        labels[1] = resolve(Product([channel, group]))
    except MisfitError:
        context.freeze(labels[1])
        labels[1] = context.fixed(labels[1].size)
    context.contract([factor for label in labels for factor in factors(label)])
    return labels
