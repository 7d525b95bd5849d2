"""Convolutions and attention; matrix products follow from `ExponentContext.einsum`."""

from __future__ import annotations

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Labels, Product, Uniform, resolve


@demand("convolution")
def convolution(context: ExponentContext, call: Call) -> Labels | tuple[Labels, ...]:
    """Input channels cancel, group by group; space has the exponent 0."""
    algebra, groups = context.algebra, call["groups"]
    batch, channels, *places = context.get(call["input"])
    first, second, *taps = context.get(call["weight"])
    context.freeze(*places, *taps)
    try:
        x_outer, x_inner = algebra.plain(algebra.split(channels, groups))
        w_outer, w_inner = algebra.plain(algebra.split(first, groups))
    except MisfitError:
        return context.zeroed(call)
    read, written = (w_inner, second) if call["transposed"] else (second, w_inner)
    if x_inner.size > 1:
        algebra.unify(x_inner, algebra.dual(read))
    outer = algebra.times(x_outer, w_outer) if groups > 1 else Uniform(1)
    result = resolve(Product([outer, written]))
    if call["bias"] is not None:
        result = context.unify(result, context.get(call["bias"])[0])
        context.freeze(batch)
        batch = algebra.nonzero(batch)
    return [batch, result, *(context.fixed(size) for size in call.output.shape[2:])]


@demand(
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
)
def attention(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Queries and keys cancel within a head; the inner dimension of values passes."""
    query, key, value = (context.get(call[name]) for name in ("query", "key", "value"))
    context.freeze(*query[:3], *key[:3], *value[:3])
    known = {call[name].key for name in ("query", "key", "value")}
    for ref in call.inputs:
        if ref.key not in known:  # a mask, a bias
            context.freeze(*context.get(ref))
    context.algebra.unify(query[3], context.algebra.dual(key[3]))
    result, *rest = ([context.fixed(size) for size in output.shape] for output in call.outputs)
    return ([*result[:3], resolve(value[3])], *rest)
