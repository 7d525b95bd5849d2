"""Samples of scaled dot-product attention."""

import torch
import torch.nn.functional as F

from tests.symmetry.rules.selection import TOKENS, routed
from tests.symmetry.samples import sample

aten = torch.ops.aten
CPU = aten._scaled_dot_product_flash_attention_for_cpu.default
QKV = ((2, 3, 4, 6), (2, 3, 5, 6), (2, 3, 5, 6))
# Queries, keys and widths are free, per batch entry and head.
PLAIN = "b h q e, b h k e, b h k v -> b h q v; h|b q|b q|h e|b e|h k|b k|h v|b v|h"
TRIANGLE = torch.ones(4, 5, dtype=torch.bool).tril()


def on_cpu(q, k, v, **options):
    return CPU(q, k, v, **options)[0]


def grouped(q, k, v):
    """What the kernels for grouped queries do."""
    times = q.shape[1] // k.shape[1]
    return F.scaled_dot_product_attention(q, k.repeat_interleave(times, 1), v.repeat_interleave(times, 1))


SAMPLES = [
    sample(CPU, PLAIN, on_cpu, *QKV),
    sample(
        CPU,
        "b h . e, b h . e, b h . v -> b h . v; e|b e|h h|b v|b v|h",
        lambda q, k, v: on_cpu(q, k, v, is_causal=True),
        *QKV,
        case="causal",
    ),
    sample(
        CPU,
        ". a, e a, e i a, e o i -> . o; i|e",
        lambda w, g, u, d: routed(on_cpu(*[(TOKENS @ w)[None, None]] * 3, is_causal=True)[0, 0], g, u, d),
        (4, 4),
        (3, 4),
        (3, 2, 4),
        (3, 5, 2),
        case="causal, then experts",
    ),
    sample(
        CPU,
        "b h q e, b h k e, b h k v, q k -> b h q v; e|b e|h h|b v|b v|h",
        lambda q, k, v, mask: on_cpu(q, k, v, attn_mask=mask),
        *QKV,
        (4, 5),
        case="one mask for all heads",
    ),
    sample(
        CPU,
        "b h q e, b h k e, b h k v, 1 h q k -> b h q v; b|h q|h e|b e|h k|h v|b v|h",
        lambda q, k, v, mask: on_cpu(q, k, v, attn_mask=mask.expand(2, 3, 4, 5)),
        *QKV,
        (1, 3, 4, 5),
        case="a mask per head",
    ),
    sample(
        CPU,
        "b h . e, b h . e, b h . v -> b h . v; e|b e|h h|b v|b v|h",
        lambda q, k, v: on_cpu(q, k, v, attn_mask=torch.where(TRIANGLE, 0.0, -1e3).double()),
        *QKV,
        case="a constant mask",
    ),
    sample(
        CPU,
        "b g*r q e, b g k e, b g k v -> b g*r q v; e|b e|g g|b k|b k|g q|b q|g q|r r|b r|g v|b v|g",
        on_cpu,
        (2, 6, 4, 6),
        (2, 3, 5, 6),
        (2, 3, 5, 6),
        real=grouped,
        case="grouped queries",
    ),
    sample(
        CPU,
        "b h q e, b 1 k e, b 1 k v -> b h q v; e|b h|b h|q k|b q|b v|b",
        on_cpu,
        (2, 6, 4, 6),
        (2, 1, 5, 6),
        (2, 1, 5, 6),
        real=grouped,
        case="one head of keys",
    ),
    sample(
        CPU,
        "b . q e, . 1 1, b . k e, b . k v -> b . q v; q|b e|b k|b v|b",
        lambda q, w, k, v: on_cpu(q * w.repeat_interleave(2, 0), k, v),
        (2, 6, 4, 6),
        (3, 1, 1),
        (2, 2, 5, 6),
        (2, 2, 5, 6),
        real=lambda q, w, k, v: grouped(q * w.repeat_interleave(2, 0), k, v),
        case="groups of heads that straddle those of the keys",
    ),
    sample(
        CPU,
        "b 1 1 e, b h . e, b h . v -> b h . v; e|b h|b v|b v|h",
        lambda q, k, v: on_cpu(q.expand(2, 3, 4, 6), k, v, is_causal=True),
        (2, 1, 1, 6),
        *QKV[1:],
        case="one query for all",
    ),
    sample(
        aten._scaled_dot_product_flash_attention.default,
        PLAIN,
        lambda q, k, v: aten._scaled_dot_product_flash_attention.default(q, k, v)[0],
        *QKV,
        real=F.scaled_dot_product_attention,
    ),
    sample(
        aten._scaled_dot_product_efficient_attention.default,
        PLAIN,
        lambda q, k, v: aten._scaled_dot_product_efficient_attention.default(q, k, v, None, False)[0],
        *QKV,
        real=F.scaled_dot_product_attention,
    ),
    sample(
        aten._scaled_dot_product_efficient_attention.default,
        "b h q e, b h k e, b h k v, b h q k -> b h q v; e|b e|h h|b k|b k|h q|b q|h v|b v|h",
        lambda q, k, v, bias: aten._scaled_dot_product_efficient_attention.default(q, k, v, bias, False)[0],
        *QKV,
        (2, 3, 4, 5),
        real=F.scaled_dot_product_attention,
        case="biased",
    ),
    sample(
        aten._scaled_dot_product_fused_attention_overrideable.default,
        PLAIN,
        lambda q, k, v: aten._scaled_dot_product_fused_attention_overrideable.default(q, k, v)[0],
        *QKV,
        real=F.scaled_dot_product_attention,
    ),
]
