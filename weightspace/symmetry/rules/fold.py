"""Channels and positions of a window exchanged: unfolding and folding, pixel shuffling."""

from __future__ import annotations

import torch

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Product, resolve
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
