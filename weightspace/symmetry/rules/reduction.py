"""Reductions, softmax and scans."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


def reduced_dims(call: Call) -> set[int]:
    """The dimensions that a reduction runs over."""
    rank = len(call["self"].shape)
    dim = call.arguments.get("dim")
    if dim is None or dim == []:
        return set(range(rank))
    return {d % max(rank, 1) for d in ([dim] if isinstance(dim, int) else dim)}


@rule(
    aten.all.default,
    aten.all.dim,
    aten.amax.default,
    aten.amin.default,
    aten.aminmax.default,
    aten.any.default,
    aten.any.dim,
    aten.linalg_vector_norm.default,
    aten.logsumexp.default,
    aten.max.default,
    aten.mean.default,
    aten.mean.dim,
    aten.min.default,
    aten.norm.ScalarOpt_dim,
    aten.prod.default,
    aten.prod.dim_int,
    aten.std.correction,
    aten.sum.default,
    aten.sum.dim_IntList,
    aten.var.correction,
    aten.var_mean.correction,
)
def reduce(context: Context, call: Call) -> tuple[Labels, ...]:
    """Reductions that do not depend on the order of the indices drop their dimensions."""
    return _drop(context, call)


def _drop(context: Context, call: Call) -> tuple[Labels, ...]:
    context.carry(call["self"])
    labels, dims = context.get(call["self"]), reduced_dims(call)
    kept: Labels = [Uniform(1) if dim in dims else label for dim, label in enumerate(labels)]
    if call.arguments.get("keepdim"):
        return tuple(list(kept) for _ in call.outputs)
    return tuple([label for dim, label in enumerate(kept) if dim not in dims] for _ in call.outputs)


@rule(aten.mse_loss.default, aten.smooth_l1_loss.default, aten.huber_loss.default)
def loss(context: Context, call: Call) -> Labels:
    """A function of two tensors entry by entry, and its mean or sum."""
    refs = [call["self"], call["target"]]
    shape = torch.broadcast_shapes(*(ref.shape for ref in refs))
    labels = context.broadcast([context.get(ref) for ref in refs], shape)
    if call.output.shape == shape:
        return labels
    context.contract([resolve(label) for label in labels])
    return []


@rule(aten._softmax.default, aten._log_softmax.default, aten._safe_softmax.default)
def softmax(context: Context, call: Call) -> Labels:
    """Normalises over a dimension, which stays."""
    context.carry(call["self"])
    labels = context.get(call["self"])
    along = call["dim"] % len(labels)
    context.contract([label for dim, label in enumerate(labels) if dim != along])
    return labels


@rule(aten.cumsum.default, aten.cumsum_.default, aten.cumprod.default, aten.cumprod_.default, aten.logcumsumexp.default)
def scan(context: Context, call: Call) -> Labels:
    """Depends on the order of the indices."""
    along = call["dim"] % max(len(call["self"].shape), 1)
    labels = context.get(call["self"])
    if labels:
        context.freeze(labels[along])
        labels[along] = context.fixed(labels[along].size)
    return labels
