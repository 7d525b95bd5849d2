"""Tensors laid side by side, padded, made of zeros."""

from __future__ import annotations

from weightspace.symmetry.axis import Run
from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.equations import Zero
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Labels, Sum, Uniform, resolve, side_by_side


@demand("cat")
def cat(context: ExponentContext, call: Call) -> Labels:
    """Parts keep their exponents; along the other dimensions these agree."""
    refs = [ref for ref in call["tensors"] if ref.shape != (0,)]
    if not refs:
        return [Uniform(0)]
    along = call["dim"] % len(call.output.shape)
    columns = zip(*(context.get(ref) for ref in refs), strict=True)
    return [
        resolve(side_by_side(column) if dim == along else context.algebra.agree(column))
        for dim, column in enumerate(columns)
    ]


@demand("constant_pad_nd")
def pad(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Zeros beside a tensor have any exponent."""
    padding = call["pad"]
    if call["value"] or any(width < 0 for width in padding):
        return context.zeroed(call)
    labels = context.get(call["self"])
    for number in range(len(padding) // 2):
        low, high = padding[2 * number], padding[2 * number + 1]
        dim = len(labels) - 1 - number
        if low or high:
            runs = [Run(0, 0, low), Run(1, 0, labels[dim].size), Run(0, low, high)]
            labels[dim] = resolve(Sum([Zero(low + high), labels[dim]], runs))
    return labels


@demand("empty", "empty_like", "empty_strided", "new_empty", "new_zeros", "zeros", "zeros_like")
def zeros(context: ExponentContext, call: Call) -> Labels:
    """Zeros have any exponent, and so has memory that nothing has been written to yet."""
    return [Zero(size) for size in call.output.shape]


@demand("zero")
def zero(context: ExponentContext, call: Call) -> Labels:
    """Zeros have any exponent, also where they overwrite a tensor."""
    return context.get(call["self"])


@demand(
    "full",
    "full_like",
    "new_full",
    "new_ones",
    "ones",
    "ones_like",
    "scalar_tensor",
)
def constant(context: ExponentContext, call: Call) -> Labels:
    """One value everywhere; storage that is written later gets atoms instead, see `Context`."""
    return [Uniform(size) for size in call.output.shape]


@demand("masked_fill")
def masked_fill(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Zeros in some places fit every exponent."""
    if not isinstance(call["value"], (int, float)) or call["value"]:
        return context.zeroed(call)
    mask, labels = context.get(call["mask"]), context.get(call["self"])
    context.freeze(*mask)
    return context.chosen(mask, labels)
