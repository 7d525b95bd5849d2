"""Reductions, pooling and resampling."""

from __future__ import annotations

from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.equations import NONLINEAR
from weightspace.symmetry.freedom.registry import demand
from weightspace.symmetry.label import Labels, Uniform, resolve
from weightspace.symmetry.rules.reduction import reduced_dims
from weightspace.symmetry.rules.spatial import space


@demand("mean", "sum")
def total(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Linear; the sum of the squares of a vector is what rotations keep."""
    context.permissive = True
    labels, dims = context.get(call["self"]), reduced_dims(call)
    for dim, label in enumerate(labels):
        mark = context.mark_of(label)
        if dim in dims and mark is not None and mark.square is not None:
            context.rule_out(label, kinds=("scale", "sign", "linear"))
        else:
            context.unmark(label)
            if dim in dims:
                context.freeze(label)
    return _kept(call, labels, dims)


@demand("amax", "amin")
def extreme(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Homogeneous in the units that stay."""
    labels, dims = context.get(call["self"]), reduced_dims(call)
    context.freeze(*(labels[dim] for dim in dims))
    context.rule_out(*labels, kinds=("sign", *NONLINEAR))
    return _kept(call, labels, dims)


@demand("linalg_vector_norm")
def norm(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Homogeneous and even in the units that stay; of those that go the Euclidean one keeps rotations."""
    labels, dims = context.get(call["self"]), reduced_dims(call)
    if len(dims) != 1 or call["ord"] != 2:
        return context.zeroed(call)
    (dim,) = dims
    context.rule_out(labels[dim], kinds=("scale", "sign", "linear"))
    context.freeze(*(label for number, label in enumerate(labels) if number != dim))
    return _kept(call, labels, dims)


def _kept(call: Call, labels: Labels, dims: set[int]) -> tuple[Labels, ...]:
    labels = [resolve(label) for label in labels]
    if call.arguments.get("keepdim"):
        return ([Uniform(1) if dim in dims else label for dim, label in enumerate(labels)],)
    return ([label for dim, label in enumerate(labels) if dim not in dims],)


@demand(
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d",
)  # fmt: skip
def resampled(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Linear, and the same for every channel."""
    return space(context, call)


@demand("adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices")
def pooled(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Homogeneous in every channel."""
    context.rule_out(*context.get(call["self"]), kinds=("sign", *NONLINEAR))
    values = space(context, call)[0]
    return (values, *([context.fixed(size) for size in output.shape] for output in call.outputs[1:]))
