"""Normalisation layers: their input may be scaled only where they know its scale; a rotation passes some."""

from __future__ import annotations

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.equations import NONLINEAR, Mark
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Atom, Label, Labels, Uniform, resolve


@demand(
    "_batch_norm_no_update",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "native_batch_norm",
)
def batch_norm(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """In eval mode: scaling its input scales the running mean and squares into the variance (plus eps).

    What leaves the normalisation has lost the scale of the input, but not its sign.
    """
    mean, variance = call.arguments.get("running_mean"), call.arguments.get("running_var")
    if mean is None or variance is None or call.arguments.get("training") or not context.owns(variance, mean):
        return context.zeroed(call)
    algebra = context.algebra
    labels = context.get(call["input"])
    context.freeze(labels[0], *labels[2:])
    labels = [algebra.nonzero(label) for label in context.get(call["input"])]
    channel = context.unify(labels[1], context.get(mean)[0])
    spread = context.get(variance)[0]
    eps = float(call.arguments.get("eps", call.arguments.get("epsilon")))
    if context.offsets.setdefault(variance.key, eps) != eps:
        return context.zeroed(call)
    context.normalised[variance.key] += 1
    doubled, doubles = algebra.copied(channel)
    normalised, units = algebra.copied(channel)
    for (double, _), (unit, old) in zip(doubles, units, strict=True):
        algebra.equate((double, 1), (old, -2), kinds=("scale",))
        algebra.equate((double, 1), kinds=("sign", *NONLINEAR))
        algebra.equate((unit, 1), (old, -1), kinds=("sign",))
        algebra.equate((unit, 1), kinds=("scale", *NONLINEAR))
    context.rule_out(channel, kinds=NONLINEAR)
    context.unify(spread, doubled)
    labels[1] = _affine(context, call, normalised)
    rest = [[context.fixed(size) for size in output.shape] for output in call.outputs[1:]]
    return (labels, *rest)


def _affine(context: ExponentContext, call: Call, normalised: Label) -> Label:
    """The label of a normalised axis after its scale and shift."""
    result = normalised
    if call["weight"] is not None:
        result = context.algebra.times(normalised, context.get(call["weight"])[0])
    if call["bias"] is not None:
        result = context.unify(result, context.get(call["bias"])[0])
    return resolve(result)


@demand("native_group_norm")
def group_norm(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """The input may be scaled up to eps only, which is never claimed; scale and shift go together."""
    context.freeze(*context.get(call["input"]))
    labels = [context.algebra.nonzero(label) for label in context.get(call["input"])]
    labels[1] = _affine(context, call, context.fixed(labels[1].size))
    rest = [[context.fixed(size) for size in output.shape] for output in call.outputs[1:]]
    return (labels, *rest)


@demand("native_layer_norm", "_fused_rms_norm")
def layer_norm(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """The input may be scaled up to eps only, which is never claimed; rotations that keep the mean pass."""
    count = len(call["normalized_shape"])
    context.freeze(*context.get(call["input"])[:-count])
    labels = [context.algebra.nonzero(label) for label in context.get(call["input"])]
    vector = resolve(labels[-1])
    scale, shift = call["weight"], call.arguments.get("bias")
    rotates = (
        count == 1
        and isinstance(vector, Atom)
        and vector.frozen is None
        and all(ref is None or isinstance(context.get(ref)[0], Atom) for ref in (scale, shift))
        and (scale is None) == (shift is None or call.name == "_fused_rms_norm")
        and all(ref is None or context.owns(ref) for ref in (scale, shift))
    )
    context.rule_out(*labels[-count:], kinds=("scale", "sign", "linear"))
    rest = [[context.fixed(size) for size in output.shape] for output in call.outputs[1:]]
    if not rotates:
        context.freeze(*labels[-count:])
        return ([*labels[:-count], *_affine_parts(context, call, labels[-count:])], *rest)
    assert isinstance(vector, Atom)
    if call.name == "native_layer_norm":
        context.centred.append(vector)
    if scale is None:
        return (labels, *rest)
    mark = Mark(scale=scale.key, shift=None if shift is None else shift.key)
    product = context.algebra.scaled(vector, context.get(scale)[0], mark)
    if shift is not None:
        context.algebra.shifted(product, context.get(shift)[0], mark)
    return ([*labels[:-1], product], *rest)


def _affine_parts(context: ExponentContext, call: Call, labels: Labels) -> Labels:
    """Labels of the normalised dimensions after scale and shift."""
    result: Labels = [context.fixed(label.size) for label in labels]
    for key, combine in (("weight", context.algebra.times), ("bias", context.unify)):
        ref: TensorRef | None = call.arguments.get(key)
        if ref is not None:
            result = [combine(label, other) for label, other in zip(result, context.get(ref), strict=True)]
    return [resolve(label) for label in result]


@demand("_weight_norm_interface")
def weight_norm(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """A weight whose slices have given norms: the scale of the direction is free, and gone."""
    labels, norms = context.get(call["v"]), context.get(call["g"])
    dim = call["dim"] % len(labels)
    context.freeze(*(label for number, label in enumerate(labels) if number != dim))
    context.rule_out(labels[dim], kinds=NONLINEAR)
    direction, pairs = context.algebra.copied(labels[dim])
    for fresh, old in pairs:
        context.algebra.equate((fresh, 1), (old, -1), kinds=("sign",))
        context.algebra.equate((fresh, 1), kinds=("scale", *NONLINEAR))
    result = context.get(call["v"])
    result[dim] = context.algebra.times(direction, norms[dim])
    sizes: Labels = [Uniform(1) for _ in call.outputs[1].shape]
    sizes[dim] = context.algebra.unsigned(context.get(call["v"])[dim])
    return (result, sizes)
