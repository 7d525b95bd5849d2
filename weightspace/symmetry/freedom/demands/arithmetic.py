"""Sums, products, quotients and powers."""

from __future__ import annotations

from fractions import Fraction

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.equations import NONLINEAR, Mark
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Atom, Labels, resolve

_POWERS = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0, "mul": 2.0}
LARGEST_DENOMINATOR = 16


@demand("add", "copy", "maximum", "minimum", "rsub", "sub")
def summands(context: ExponentContext, call: Call) -> Labels:
    """Summands have equal exponents; a number other than 0 has none."""
    labels = [context.get(ref) for ref in call.inputs]
    if call.name.removesuffix("_") in ("maximum", "minimum"):
        context.rule_out(*(label for one in labels for label in one), kinds=("sign", *NONLINEAR))
    return _summed(context, call, labels)


@demand("where")
def choice(context: ExponentContext, call: Call) -> Labels:
    """The sides of a choice have equal exponents; one that depends on an index is nothing to mix along it."""
    condition = context.get(call["condition"])
    labels = [context.get(call[key]) for key in ("self", "other") if isinstance(call[key], TensorRef)]
    context.freeze(*condition)
    return context.chosen(condition, _summed(context, call, [context.chosen(condition, one) for one in labels]))


def _summed(context: ExponentContext, call: Call, labels: list[Labels]) -> Labels:
    """Labels of a sum of tensors and, perhaps, a number."""
    if any(isinstance(call.arguments.get(key), (int, float)) and call[key] for key in ("self", "other")):
        for one in labels:
            context.freeze(*one)
        labels = [[context.algebra.nonzero(label) for label in one] for one in labels]
    return context.broadcast(labels, call.output.shape)


@demand("mul")
def product(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Exponents of factors add."""
    x, y = call["self"], call["other"]
    if not isinstance(y, TensorRef):
        return context.get(x)
    if x.key == y.key:
        return power(context, call)
    context.permissive = True
    for vector, scale in ((x, y), (y, x)):
        if _folds(context, vector, scale) and vector.shape == call.output.shape:
            *others, last = context.get(vector)
            (factor,) = context.get(scale)
            if not isinstance(last, Atom) or not isinstance(factor, Atom) or last is factor:
                continue
            if last.frozen is None and context.mark_of(last) is None:
                context.unmark(*others)
                return [*others, context.algebra.scaled(last, factor, Mark(scale=scale.key))]
    first, second = context.get(x), context.get(y)
    context.unmark(*first, *second)
    return context.multiply(first, second, call.output.shape)


def _folds(context: ExponentContext, vector: TensorRef, scale: TensorRef) -> bool:
    """Whether a factor is a parameter over the last dimension of the other: the scale of a normalised vector."""
    return context.owns(scale) and len(scale.shape) == 1 and vector.shape[-1:] == scale.shape


@demand("div")
def quotient(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Exponents of the divisor are subtracted."""
    x, y = call["self"], call["other"]
    if call.arguments.get("rounding_mode") is not None:
        return context.zeroed(call)
    if not isinstance(y, TensorRef):
        return context.get(x)
    return context.multiply(context.get(x), context.get(y), call.output.shape, power=-1)


@demand("neg")
def opposite(context: ExponentContext, call: Call) -> Labels:
    """Linear in every unit."""
    return context.get(call["self"])


@demand("pow", "reciprocal", "rsqrt", "sqrt", "square")
def power(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Exponents are multiplied; the squares of a vector may be summed under a rotation."""
    exponent = _POWERS.get(call.name.removesuffix("_"), call.arguments.get("exponent"))
    if not isinstance(exponent, (int, float)) or not isinstance(call["self"], TensorRef):
        return context.zeroed(call)
    fraction = Fraction(exponent).limit_denominator(LARGEST_DENOMINATOR)
    if float(fraction) != exponent:
        return context.zeroed(call)
    labels = context.get(call["self"])
    last = resolve(labels[-1]) if labels else None
    if exponent == 2 and isinstance(last, Atom) and last.frozen is None:
        square = context.algebra.squared(last)
        return [*(context.algebra.powered(label, fraction) for label in labels[:-1]), square]
    return [context.algebra.powered(label, fraction) for label in labels]
