"""Operators that choose indices of a dimension: their results are numbers that live on that dimension.

A choice among entries that differ does not depend on the order of the indices. Equal entries are taken in their order,
so where the network itself makes entries equal (a rectifier, a mask that leaves a finite value), the dimension stays.
"""

from __future__ import annotations

import math

import torch

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.choice import Values
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Label, Labels, Uniform, leaf_labels
from weightspace.symmetry.rules.pointwise import pointwise
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten

# Sums of products with weights, and normalisations: results that are all different.
MIXING = frozenset(
    overload._schema.name.removeprefix("aten::")
    for overload in (
        aten._fused_rms_norm.default,
        aten._native_batch_norm_legit_no_training.default,
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        aten.addmm.default,
        aten.addmv.default,
        aten.baddbmm.default,
        aten.bmm.default,
        aten.convolution.default,
        aten.dot.default,
        aten.linalg_vector_norm.default,
        aten.linear.default,
        aten.logsumexp.default,
        aten.mean.dim,
        aten.mm.default,
        aten.mv.default,
        aten.native_batch_norm.default,
        aten.native_group_norm.default,
        aten.native_layer_norm.default,
        aten.sum.default,
        aten.var.correction,
    )
)
# Results that are equal at most where all operands are.
INJECTIVE = frozenset(
    "_log_softmax _safe_softmax _softmax _to_copy _unsafe_view alias amax amin atan clone contiguous detach div "  # noqa: SIM905
    "div_ elu exp lift_fresh log log1p log_sigmoid_forward max min mul mul_ neg permute pow reciprocal reshape rsqrt "
    "select sigmoid slice softplus split split_with_sizes sqrt square squeeze t tanh topk sort transpose unbind "
    "unsqueeze view".split()
)


def may_tie(context: Context, ref: TensorRef) -> bool:
    """Whether a network makes some entries of a tensor equal, whatever its weights."""
    if not ref.dtype.is_floating_point or ref.storage in context.written:
        return True
    call = context.makers.get(ref.key)
    if call is None or call.name in MIXING:
        return False
    if call.name in ("add", "add_", "sub", "sub_"):
        return all(may_tie(context, operand) for operand in call.inputs)
    if call.name in ("masked_fill", "masked_fill_") and isinstance(call["value"], float) and math.isinf(call["value"]):
        return may_tie(context, call["self"])  # what is masked to infinity is not among the chosen
    if call.name in INJECTIVE:
        return any(may_tie(context, operand) for operand in call.inputs)
    return True


def _choose(context: Context, call: Call, dim: int) -> tuple[Labels, Label]:
    """The other dimensions, recognisable from now on, and the one that is chosen from."""
    labels = context.get(call["self"])
    context.contract([label for other, label in enumerate(labels) if other != dim])
    return [context.identified(label) for label in labels], labels[dim]


def _number(context: Context, call: Call, ref: TensorRef, chosen_from: Label) -> None:
    uniform = any(isinstance(leaf, Uniform) and leaf.size > 1 for leaf in leaf_labels(chosen_from))
    tied = uniform or may_tie(context, call["self"])
    context.assign(ref, Values(context.algebra.fresh(chosen_from), ref.key, tied))


@rule(aten.topk.default, aten.sort.default, aten.sort.stable)
def ranked(context: Context, call: Call) -> tuple[Labels, ...]:
    """Largest entries by rank, and where they were. Unsorted, their order is the kernel's and means nothing."""
    if not call["self"].shape:
        return context.unknown(call)
    dim = call["dim"] % len(call["self"].shape)
    labels, chosen_from = _choose(context, call, dim)
    size = call.output.shape[dim]
    labels[dim] = Atom(size, frozen="rank") if size > 1 else Uniform(size)
    _number(context, call, call.outputs[1], chosen_from)
    return labels, list(labels)


@rule(aten.max.dim, aten.min.dim, aten.median.dim, aten.kthvalue.default)
def extreme(context: Context, call: Call) -> tuple[Labels, ...]:
    """One entry of a dimension by its rank, and where it was."""
    if not call["self"].shape:
        return context.unknown(call)
    dim = call["dim"] % len(call["self"].shape)
    labels, chosen_from = _choose(context, call, dim)
    labels[dim : dim + 1] = [Uniform(1)] if call["keepdim"] else []
    _number(context, call, call.outputs[1], chosen_from)
    return labels, list(labels)


@rule(aten.argmax.default, aten.argmin.default)
def position(context: Context, call: Call) -> Labels:
    """Where the largest entry is: a number on its dimension. Over all dimensions it is one in the flattened tensor."""
    rank = len(call["self"].shape)
    if call["dim"] is None or rank == 0:
        context.freeze(*context.get(call["self"]))
        return [Uniform(1) for _ in call.output.shape]
    dim = call["dim"] % rank
    labels, chosen_from = _choose(context, call, dim)
    labels[dim : dim + 1] = [Uniform(1)] if call["keepdim"] else []
    _number(context, call, call.output, chosen_from)
    return labels


@rule(aten.arange.default, aten.arange.start, aten.arange.start_step)
def counted(context: Context, call: Call) -> Labels:
    """Every index of a dimension, in its place; from another start, values that tell the indices apart."""
    size = call.output.shape[0]
    if size <= 1 or call.arguments.get("start", 0) != 0 or call.arguments.get("step", 1) != 1:
        return [context.fixed(size)]
    axis = Atom(size)
    context.assign(call.output, Values(axis, call.output.key))
    return [axis]


@rule(aten.eq.Tensor, aten.ne.Tensor)
def compared(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
    """Two numbers on one axis are equal whichever way that axis moves; else an operator like any other."""
    refs = [call["self"], call["other"]]
    values = [context.numbers(ref) for ref in refs]
    if values[0] is None or values[1] is None:
        return pointwise(context, call)
    context.unify(values[0].label, values[1].label)
    context.carry(*refs)
    return context.broadcast([context.get(ref, valued=True) for ref in refs], call.output.shape)


@rule(aten.cummax.default, aten.cummin.default)
def running_extreme(context: Context, call: Call) -> tuple[Labels, ...]:
    """Depends on the order of the indices, as do the numbers."""
    labels = context.get(call["self"])
    if labels:
        dim = call["dim"] % len(labels)
        context.freeze(labels[dim])
        context.contract([label for other, label in enumerate(labels) if other != dim])
        labels[dim] = context.fixed(labels[dim].size)
    return labels, list(labels)


@rule(aten.bucketize.Tensor, aten.searchsorted.Tensor)
def bucket(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
    """How many boundaries lie below every entry: the boundaries are in order."""
    if call.arguments.get("sorter") is not None:
        return context.unknown(call)
    boundaries = call.arguments.get("boundaries", call.arguments.get("sorted_sequence"))
    *lead, last = context.get(boundaries)
    context.freeze(last)
    labels = context.get(call["self"])
    return [*map(context.unify, lead, labels), *labels[len(lead) :]]
