"""Matrix products: every rule is an einsum string."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


def _product(context: Context, equation: str, x: TensorRef, y: TensorRef, bias: TensorRef | None = None) -> Labels:
    context.carry(x, y, *([] if bias is None else [bias]))
    result = context.einsum(equation, context.get(x), context.get(y))
    if bias is None:
        return result
    return context.broadcast([result, context.get(bias)], [label.size for label in result])


@rule(aten.mm.default)
def mm(context: Context, call: Call) -> Labels:
    """Matrix times matrix."""
    return _product(context, "mk,kn->mn", call["self"], call["mat2"])


@rule(aten.addmm.default)
def addmm(context: Context, call: Call) -> Labels:
    """Matrix times matrix plus a broadcast matrix."""
    return _product(context, "mk,kn->mn", call["mat1"], call["mat2"], call["self"])


@rule(aten.bmm.default)
def bmm(context: Context, call: Call) -> Labels:
    """Batches of matrix products."""
    return _product(context, "bmk,bkn->bmn", call["self"], call["mat2"])


@rule(aten.baddbmm.default)
def baddbmm(context: Context, call: Call) -> Labels:
    """Batches of matrix products plus a broadcast tensor."""
    return _product(context, "bmk,bkn->bmn", call["batch1"], call["batch2"], call["self"])


@rule(aten.mv.default)
def mv(context: Context, call: Call) -> Labels:
    """Matrix times vector."""
    return _product(context, "mk,k->m", call["self"], call["vec"])


@rule(aten.addmv.default)
def addmv(context: Context, call: Call) -> Labels:
    """Matrix times vector plus a vector."""
    return _product(context, "mk,k->m", call["mat"], call["vec"], call["self"])


@rule(aten.dot.default)
def dot(context: Context, call: Call) -> Labels:
    """Inner product of two vectors."""
    return _product(context, "k,k->", call["self"], call["tensor"])


@rule(aten.linear.default)
def linear(context: Context, call: Call) -> Labels:
    """``x @ weight.T + bias`` over the last dimension of x."""
    batch = "abcdefgh"[: len(call["input"].shape) - 1]
    return _product(context, f"{batch}i,oi->{batch}o", call["input"], call["weight"], call["bias"])
