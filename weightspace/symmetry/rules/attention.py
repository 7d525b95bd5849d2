"""Scaled dot-product attention: batch and heads tied; query-key and value inner dimensions are separate."""

from __future__ import annotations

import torch

from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Product, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_fused_attention_overrideable.default,
)
def attention(context: Context, call: Call) -> tuple[Labels, ...]:
    """softmax(q k^T + mask) v, with q of shape (batch, heads, L, E) and k, v of as many heads or a divisor of them."""
    if call["dropout_p"]:
        return context.unknown(call)
    refs = [call[name] for name in ("query", "key", "value")]
    query, key, value = (context.get(ref) for ref in refs)
    batch = context.unify(query[0], context.unify(key[0], value[0]))
    shared, per_head = _heads(context, query[1], context.unify(key[1], value[1]))
    inner, keys = context.unify(query[3], key[3]), context.unify(key[2], value[2])
    space: Labels = [batch, resolve(Product([shared, per_head])), query[2], keys]
    mask = call.arguments.get("attn_mask", call.arguments.get("attn_bias"))
    if mask is not None:
        space = context.broadcast([space, context.get(mask)], [label.size for label in space])
    if call["is_causal"]:
        context.freeze(space[2], space[3], why="causal mask")
        space[2] = context.fixed(space[2].size, space[2])
    space = [resolve(label) for label in space]
    value = context.get(call["value"])
    indices = [space[0], resolve(shared), resolve(per_head), *space[2:]]
    context.contract([*indices, resolve(inner)])
    context.contract(space[:3])  # the softmax over the keys
    context.contract([*indices, value[3]])
    rest = [
        space[:3]
        if output.shape == call.output.shape[:3]  # the log-sum-exp; some kernels pad its length
        else [context.fixed(size) for size in output.shape]
        for output in call.outputs[1:]
    ]
    return ([*space[:3], value[3]], *rest)


def _heads(context: Context, queries: Label, heads: Label) -> tuple[Label, Label]:
    """The heads of keys and values, and those of the queries that each of them serves: consecutive ones."""
    try:
        shared, per_head = context.algebra.plain(context.algebra.split(queries, heads.size))
        return context.algebra.join(shared, heads), per_head
    except MisfitError as misfit:
        context.freeze(queries, heads, why=f"heads: {misfit}")
        return context.fixed(queries.size), Uniform(1)
