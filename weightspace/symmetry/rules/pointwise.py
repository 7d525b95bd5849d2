"""Point-wise operators: broadcast dimensions are made equal.

Most need no entry in the table, since PyTorch tags them as point-wise.
"""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Uniform, Varying, resolve
from weightspace.symmetry.regroup import slice_dim
from weightspace.symmetry.rules.registry import copying, rule

aten = torch.ops.aten


@rule(
    aten._prelu_kernel.default,
    aten.copy_.default,
    aten.fill_.Scalar,
    aten.fill_.Tensor,
    aten.floor_divide.default,
    aten.gelu_.default,
    aten.hardswish.default,
    aten.hardswish_.default,
    aten.log_sigmoid_forward.default,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Scalar,
    aten.masked_fill_.Tensor,
    aten.mish_.default,
    aten.polar.default,
    aten.threshold_.default,
    aten.zero_.default,
)
def pointwise(context: Context, call: Call) -> tuple[Labels, ...]:
    """Every output entry depends on the input entries at the same place."""
    inputs = call.inputs
    context.carry(*inputs)
    shape = call.output.shape if call.outputs else ()
    varying = [ref for ref in inputs if any(isinstance(label, Varying) for label in context.get(ref, varying=True))]
    if len(varying) == 1 and varying[0].shape == shape and not call.written:
        others = [context.get(ref) for ref in inputs if ref is not varying[0]]
        if all(isinstance(label, Uniform) for labels in others for label in labels):
            return tuple(context.get(varying[0], varying=True) for _ in call.outputs)
    result = context.broadcast([context.get(ref) for ref in inputs], shape)
    return tuple(
        list(result) if output.shape == shape else [context.fixed(size) for size in output.shape]
        for output in call.outputs
    )


@rule(
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.lift_fresh.default,
    aten._to_copy.default,
)
@copying
def same(context: Context, call: Call) -> Labels:
    """The output is the first input."""
    return context.get(call.inputs[0], varying=True)


@rule(aten.native_dropout.default)
def dropout(context: Context, call: Call) -> tuple[Labels, ...]:
    """Nothing, unless in training."""
    if call["train"] is not False and call["p"]:
        return context.unknown(call)
    context.carry(call["input"])
    labels = context.get(call["input"])
    return labels, list(labels)


@rule(aten.glu.default)
def glu(context: Context, call: Call) -> Labels:
    """One half of a dimension gates the other."""
    dim = call["dim"] % len(call.output.shape)
    length = call.output.shape[dim]
    context.carry(call["self"])
    labels = context.get(call["self"])
    first, second = (slice_dim(context.algebra, labels, dim, start, length)[dim] for start in (0, length))
    labels[dim] = context.unify(first, second)
    return [resolve(label) for label in labels]
