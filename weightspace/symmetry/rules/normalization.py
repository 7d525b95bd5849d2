"""Normalisation layers: scale, shift and statistics lie on the normalised axis."""

from __future__ import annotations

import torch

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(
    aten.native_batch_norm.default,
    aten.cudnn_batch_norm.default,
    aten._native_batch_norm_legit.default,
    aten._native_batch_norm_legit_no_training.default,
    aten._batch_norm_no_update.default,
)
def batch_norm(context: Context, call: Call) -> tuple[Labels, ...]:
    """Scale, shift and running statistics per channel."""
    labels = context.get(call["input"])
    channel: Label = labels[1]
    for key in ("weight", "bias", "running_mean", "running_var"):
        ref = call.arguments.get(key)
        if ref is not None:
            channel = context.unify(channel, context.get(ref)[0])
            if key.startswith("running"):
                context.statistics.add(ref.key)
    labels[1] = channel
    rest = [
        [channel] if output.shape == (channel.size,) else [context.fixed(size) for size in output.shape]
        for output in call.outputs[1:]
    ]
    return (labels, *rest)


@rule(aten.native_layer_norm.default, aten._fused_rms_norm.default)
def layer_norm(context: Context, call: Call) -> tuple[Labels, ...]:
    """Scale and shift on the trailing dimensions, over which the moments are taken."""
    labels = context.get(call["input"])
    start = len(labels) - len(call["normalized_shape"])
    for key in ("weight", "bias"):
        ref: TensorRef | None = call.arguments.get(key)
        if ref is not None:
            for dim, label in enumerate(context.get(ref)):
                labels[start + dim] = context.unify(labels[start + dim], label)
    labels = [resolve(label) for label in labels]
    moments: Labels = [*labels[:start], *(Uniform(1) for _ in labels[start:])]
    context.contract(moments)
    return (labels, *(moments for _ in call.outputs[1:]))


@rule(aten.native_group_norm.default)
def group_norm(context: Context, call: Call) -> tuple[Labels, ...]:
    """Channels are groups x channels of a group; moments are taken per group."""
    channel = context.get(call["input"])[1]
    for key in ("weight", "bias"):
        if call[key] is not None:
            channel = context.unify(channel, context.get(call[key])[0])
    try:
        group, _ = context.algebra.plain(context.algebra.split(channel, call["group"]))
    except MisfitError as misfit:
        context.freeze(channel, why=f"{call.name}: {misfit}")
        channel, group = context.fixed(channel.size), context.fixed(call["group"])
    labels = context.get(call["input"])
    labels[1] = resolve(channel)
    moments: Labels = [labels[0], resolve(group)]
    context.contract(moments)
    return (labels, *(moments for _ in call.outputs[1:]))


@rule(aten._weight_norm_interface.default)
def weight_norm(context: Context, call: Call) -> tuple[Labels, ...]:
    """A weight with every slice of one dimension scaled to a given norm."""
    labels, norms = context.get(call["v"]), context.get(call["g"])
    dim = call["dim"] % len(labels)
    labels[dim] = context.unify(labels[dim], norms[dim])
    scale: Labels = [labels[d] if size > 1 else Uniform(1) for d, size in enumerate(call.outputs[1].shape)]
    return ([resolve(label) for label in labels], scale)
