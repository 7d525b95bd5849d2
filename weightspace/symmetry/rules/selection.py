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
from weightspace.symmetry.label import Atom, Label, Labels, Uniform, leaf_labels, resolve
from weightspace.symmetry.rules.pointwise import pointwise
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten

# Results that are equal, along a dimension, at most where the operands with that dimension are.
GENERIC = frozenset(
    """
    _fused_rms_norm _log_softmax _native_batch_norm_legit_no_training _safe_softmax
    _scaled_dot_product_flash_attention_for_cpu _softmax _to_copy _unsafe_view addmm addmv alias amax
    amin atan baddbmm bmm clone contiguous convolution detach div div_ dot elu exp lift_fresh
    linalg_vector_norm linear log log1p log_sigmoid_forward logsumexp max mean min mm mul mul_ mv
    native_batch_norm native_group_norm native_layer_norm neg permute pow reciprocal reshape rsqrt
    select sigmoid slice softplus sort split split_with_sizes sqrt square squeeze std sum t tanh topk
    transpose unbind unsqueeze var view
    """.split()  # noqa: SIM905
)
MASKING = frozenset(("masked_fill", "masked_fill_", "scatter", "scatter_"))
LOOK_UPS = frozenset(("embedding", "gather", "index", "index_select"))


def may_tie(context: Context, ref: TensorRef, atoms: frozenset[Atom], avoided: float | None = None) -> bool:
    """Whether a network makes entries along some atoms of a tensor equal, whatever its weights.

    Args:
        context: Where the tensor is.
        ref: The tensor.
        atoms: The atoms.
        avoided: Which infinity is not among what will be chosen, so that entries that are masked by it may be equal.
    """
    if not atoms:
        return False
    if not ref.dtype.is_floating_point or ref.storage in context.written:
        return True
    call = context.makers.get(ref.key)
    if call is None:
        return False
    operands = [operand for operand in call.inputs if not atoms.isdisjoint(_atoms(context, operand))]
    if call.name in LOOK_UPS:  # the same entry may be looked up twice
        return operands != call.inputs[:1] or may_tie(context, operands[0], atoms, avoided)
    if call.name in ("add", "add_", "sub", "sub_"):
        return all(may_tie(context, operand, atoms, avoided) for operand in operands)
    if call.name in ("div", "div_", "mul", "mul_"):  # what is never zero makes nothing equal that it multiplies
        operands = [operand for operand in operands if not _is_positive(context, operand)] or operands
    if call.name in MASKING and avoided is not None and call.arguments.get("value") == avoided:
        return may_tie(context, call["self"], atoms, avoided)
    return call.name not in GENERIC or any(may_tie(context, operand, atoms, avoided) for operand in operands)


def _is_positive(context: Context, ref: TensorRef) -> bool:
    call = context.makers.get(ref.key)
    if call is not None and call.name == "expand":
        return _is_positive(context, call["self"])
    low = None if call is None or call.name not in ("clamp", "clamp_min") else call["min"]
    return isinstance(low, float | int) and low > 0


def _atoms(context: Context, ref: TensorRef) -> set[Label]:
    return {leaf for label in context.labels.get(ref.key, ()) for leaf in leaf_labels(resolve(label))}


def _choose(context: Context, call: Call, dim: int) -> tuple[Labels, Label]:
    """The other dimensions, recognisable from now on, and the one that is chosen from."""
    labels = context.get(call["self"])
    context.contract([label for other, label in enumerate(labels) if other != dim])
    return [context.identified(label) for label in labels], labels[dim]


def _number(context: Context, call: Call, ref: TensorRef, chosen_from: Label, avoided: float | None) -> None:
    leaves = set(leaf_labels(resolve(chosen_from)))
    movable = frozenset(leaf for leaf in leaves if isinstance(leaf, Atom) and leaf.frozen is None)
    uniform = any(isinstance(leaf, Uniform) and leaf.size > 1 for leaf in leaves)
    tied = uniform or may_tie(context, call["self"], movable, avoided)
    context.assign(ref, Values(context.algebra.fresh(chosen_from), ref.key, tied))


def _avoided(call: Call) -> float | None:
    """The infinity that a choice does not take as long as there is something else; None for choices that take any."""
    if call.name in ("argmax", "max") or (call.name == "topk" and call["largest"]):
        return -math.inf
    return math.inf if call.name in ("argmin", "min", "topk") else None


@rule(aten.topk.default, aten.sort.default, aten.sort.stable)
def ranked(context: Context, call: Call) -> tuple[Labels, ...]:
    """Largest entries by rank, and where they were. Unsorted, their order is the kernel's and means nothing."""
    if not call["self"].shape:
        return context.unknown(call)
    dim = call["dim"] % len(call["self"].shape)
    labels, chosen_from = _choose(context, call, dim)
    size = call.output.shape[dim]
    labels[dim] = Atom(size, frozen="rank") if size > 1 else Uniform(size)
    _number(context, call, call.outputs[1], chosen_from, _avoided(call))
    return labels, list(labels)


@rule(aten.max.dim, aten.min.dim, aten.median.dim, aten.kthvalue.default)
def extreme(context: Context, call: Call) -> tuple[Labels, ...]:
    """One entry of a dimension by its rank, and where it was."""
    if not call["self"].shape:
        return context.unknown(call)
    dim = call["dim"] % len(call["self"].shape)
    labels, chosen_from = _choose(context, call, dim)
    labels[dim : dim + 1] = [Uniform(1)] if call["keepdim"] else []
    _number(context, call, call.outputs[1], chosen_from, _avoided(call))
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
    _number(context, call, call.output, chosen_from, _avoided(call))
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
