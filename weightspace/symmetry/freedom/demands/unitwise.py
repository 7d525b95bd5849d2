"""Functions of one unit at a time: homogeneous, odd, even."""

from __future__ import annotations

from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.equations import NONLINEAR
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Fixed, Labels, Uniform, resolve
from weightspace.symmetry.regroup import slice_dim


@demand("relu", "leaky_relu")
def homogeneous(context: ExponentContext, call: Call) -> Labels:
    """f(s x) = s f(x) for positive s."""
    labels = context.get(call["self"])
    context.rule_out(*labels, kinds=("sign", *NONLINEAR))
    return labels


@demand("_prelu_kernel")
def prelu(context: ExponentContext, call: Call) -> Labels:
    """Homogeneous; the slope of a unit keeps its value."""
    slope = context.get(call["weight"])
    context.freeze(*slope)
    return context.chosen(slope, homogeneous(context, call))


@demand("clamp_min")
def clamp_min(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Homogeneous when it cuts at 0."""
    return homogeneous(context, call) if call["min"] == 0 else context.zeroed(call)


@demand("clamp")
def clamp(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Homogeneous when it cuts at 0 alone, odd when it cuts at opposite numbers."""
    low, high = call["min"], call["max"]
    if (low == 0 and high is None) or (high == 0 and low is None):
        return homogeneous(context, call)
    return (
        odd(context, call)
        if isinstance(low, float | int) and isinstance(high, float | int) and low == -high
        else context.zeroed(call)
    )


@demand("hardtanh")
def hardtanh(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Odd when it cuts at opposite numbers."""
    return odd(context, call) if call["min_val"] == -call["max_val"] else context.zeroed(call)


@demand("asinh", "atan", "erf", "hardshrink", "sin", "sinh", "softshrink", "tan", "tanh")
def odd(context: ExponentContext, call: Call) -> Labels:
    """f(-x) = -f(x)."""
    labels = context.get(call["self"])
    context.rule_out(*labels, kinds=("scale", *NONLINEAR))
    return labels


@demand("cos", "cosh")
def even(context: ExponentContext, call: Call) -> Labels:
    """f(-x) = f(x): the sign is free, and gone."""
    labels = context.get(call["self"])
    context.rule_out(*labels, kinds=("scale", *NONLINEAR))
    return _plain(call)


@demand("abs")
def absolute(context: ExponentContext, call: Call) -> Labels:
    """Homogeneous and even."""
    labels = context.get(call["self"])
    context.rule_out(*labels, kinds=NONLINEAR)
    return [context.algebra.unsigned(label) for label in labels]


@demand("glu")
def glu(context: ExponentContext, call: Call) -> Labels:
    """One half of a dimension times a function of the other."""
    dim = call["dim"] % len(call.output.shape)
    length = call.output.shape[dim]
    labels = context.get(call["self"])
    context.freeze(*(label for number, label in enumerate(labels) if number != dim))
    first, second = (slice_dim(context.algebra, labels, dim, start, length)[dim] for start in (0, length))
    context.freeze(second)
    labels[dim] = context.algebra.times(first, Fixed(length, call.name))
    return [resolve(label) for label in labels]


def _plain(call: Call) -> Labels:
    return [Fixed(size, call.name) if size > 1 else Uniform(size) for size in call.output.shape]
