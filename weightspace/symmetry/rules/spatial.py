"""Pooling, resampling and padding of space: channels pass, space stays in place."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(
    aten._adaptive_avg_pool2d.default,
    aten._adaptive_avg_pool3d.default,
    aten._upsample_bicubic2d_aa.default,
    aten._upsample_bilinear2d_aa.default,
    aten._upsample_nearest_exact1d.default,
    aten._upsample_nearest_exact2d.default,
    aten._upsample_nearest_exact3d.default,
    aten.adaptive_max_pool2d.default,
    aten.adaptive_max_pool3d.default,
    aten.max_pool2d_with_indices.default,
    aten.max_pool3d_with_indices.default,
    aten.reflection_pad1d.default,
    aten.reflection_pad2d.default,
    aten.reflection_pad3d.default,
    aten.replication_pad1d.default,
    aten.replication_pad2d.default,
    aten.replication_pad3d.default,
    aten.upsample_bicubic2d.default,
    aten.upsample_bilinear2d.default,
    aten.upsample_linear1d.default,
    aten.upsample_nearest1d.default,
    aten.upsample_nearest2d.default,
    aten.upsample_nearest3d.default,
    aten.upsample_trilinear3d.default,
)
def space(context: Context, call: Call) -> tuple[Labels, ...]:
    """Works on the trailing dimensions, whose indices it tells apart; their number stands in the operator's name."""
    ref = call.inputs[0]
    rank = int(next(letter for letter in reversed(call.name.replace("_with_indices", "")) if letter.isdigit()))
    labels = context.get(ref)
    context.freeze(*labels[-rank:], why="spatial")
    kept = context.get(ref)[:-rank]
    return tuple(
        [*kept, *(context.fixed(size, label) for size, label in zip(output.shape[-rank:], labels[-rank:], strict=True))]
        for output in call.outputs
    )


@rule(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default)
def average(context: Context, call: Call) -> Labels:
    """Averages over windows; a dimension along which a window is a single index of its own passes."""
    labels = context.get(call["self"])
    rank = int(call.name[-2])
    for dim in range(-rank, 0):
        size, stride, padding = (_along(call[key], dim) for key in ("kernel_size", "stride", "padding"))
        if (size, stride or size, padding) != (1, 1, 0):
            context.freeze(labels[dim], why="spatial")
            labels[dim] = context.fixed(call.output.shape[dim], labels[dim])
    return [resolve(label) for label in labels]


def _along(option: list[int], dim: int) -> int:
    """An option for one dimension: given for each, for all alike, or not at all, which is 0."""
    return option[dim] if len(option) > 1 else option[0] if option else 0


@rule(aten.grid_sampler_2d.default, aten.grid_sampler_3d.default)
def grid_sampler(context: Context, call: Call) -> Labels:
    """Values of an image at the places of a grid (N, places..., coordinates)."""
    batch, channels, *space = context.get(call["input"])
    own, *places, coordinates = context.get(call["grid"])
    context.freeze(*space, coordinates, why="spatial")
    batch = context.unify(batch, own)
    context.contract([batch, channels, *places])
    return [batch, channels, *places]


@rule(aten.affine_grid_generator.default)
def affine_grid(context: Context, call: Call) -> Labels:
    """A grid of places for every affine map (N, coordinates, coordinates + 1)."""
    batch, *coordinates = context.get(call["theta"])
    context.freeze(*coordinates, why="spatial")
    return [batch, *(context.fixed(size) for size in call.output.shape[1:])]
