"""Views by strides: dimensions of the memory that a view takes whole keep their labels."""

from __future__ import annotations

import math

import torch

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels
from weightspace.symmetry.rules.registry import copying, rule

aten = torch.ops.aten


@rule(aten.as_strided.default, aten.as_strided_.default)
@copying
def as_strided(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
    """A dimension of the same size and stride is the same one; what the others step over stays in place.

    Overlapping windows step over the dimension of the windows and of their places; features beside them pass.
    """
    ref, sizes, strides = call["self"], call["size"], call["stride"]
    found = _taken_whole(ref, sizes, strides)
    if found is None or call["storage_offset"] not in (None, 0):
        return context.unknown(call)
    labels = context.get(ref)
    if call["storage_offset"] == 0 and not _starts_its_storage(context, ref):
        return context.unknown(call)
    rest = [label for dim, label in enumerate(labels) if dim not in found.values()]
    context.freeze(*rest)
    labels = context.get(ref)
    return [labels[found[dim]] if dim in found else context.fixed(size) for dim, size in enumerate(sizes)]


def _taken_whole(ref: TensorRef, sizes: list[int], strides: list[int]) -> dict[int, int] | None:
    """For each dimension of a view that is a dimension of the tensor: which; None where strides cannot be told apart.

    Where steps are multiples of n * s, or all together stay below s, nothing else moves along a dimension of n indices
    with stride s.
    """
    if ref.stride is None or not _is_dense(ref):
        return None
    whole = enumerate(zip(ref.shape, ref.stride, strict=True))
    own = {pair: dim for dim, pair in whole if pair[0] > 1}
    pairs = list(zip(sizes, strides, strict=True))
    if sum((size - 1) * stride for size, stride in pairs) >= math.prod(ref.shape):
        return None  # it reaches into memory beside the tensor
    found = {dim: own[pair] for dim, pair in enumerate(pairs) if pair in own and pairs.count(pair) == 1}
    changed = True
    while changed:
        changed = False
        for dim, source in list(found.items()):
            size, stride = ref.shape[source], ref.stride[source]
            others = [pair for other, pair in enumerate(pairs) if other != dim and pair[0] > 1]
            inside = sum((n - 1) * step for n, step in others if step % (size * stride))
            if inside >= stride:
                del found[dim]
                changed = True
    return found


def _is_dense(ref: TensorRef) -> bool:
    """Whether the entries fill a stretch of memory, each at one place."""
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(ref.stride or (), ref.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _starts_its_storage(context: Context, ref: TensorRef) -> bool:
    call = context.makers.get(ref.key)
    return call is not None and not call.op.is_view and all(ref.storage != other.storage for other in call.inputs)
