"""Views: reshape, permute, expand, slice and their relatives."""

from __future__ import annotations

import math

import torch

from weightspace.symmetry import regroup
from weightspace.symmetry.algebra import MisfitError
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Product, Uniform, factors, resolve
from weightspace.symmetry.rules.registry import copying, rule

aten = torch.ops.aten


@rule(aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default, aten.reshape.default)
@copying
def reshape(context: Context, call: Call) -> Labels:
    """Row-major regrouping of the entries."""
    labels = context.get(call["self"], varying=True)
    old, new = _cuts(call["self"].shape), _cuts(call.output.shape)
    if not (old <= new or new <= old):
        # An index may leave one product for another: where its neighbours recur, which of them it goes with is lost.
        context.contract([factor for label in labels for factor in factors(label)])
    return regroup.reshape(context.algebra, labels, call["self"].shape, call.output.shape, context.site)


def _cuts(shape: tuple[int, ...]) -> set[int]:
    """Where dimensions end, as numbers of outer indices."""
    return {math.prod(shape[:dim]) for dim in range(len(shape) + 1)}


@rule(aten.permute.default)
@copying
def permute(context: Context, call: Call) -> Labels:
    """Dimensions in another order."""
    labels = context.get(call["self"], varying=True)
    return [labels[dim] for dim in call["dims"]]


@rule(aten.transpose.int, aten.transpose_.default)
@copying
def transpose(context: Context, call: Call) -> Labels:
    """Two dimensions change places."""
    labels = context.get(call["self"], varying=True)
    if labels:
        i, j = call["dim0"], call["dim1"]
        labels[i], labels[j] = labels[j], labels[i]
    return labels


@rule(aten.t.default, aten.t_.default)
@copying
def t(context: Context, call: Call) -> Labels:
    """A matrix transposed."""
    return context.get(call["self"], varying=True)[::-1]


@rule(aten.unsqueeze.default, aten.unsqueeze_.default)
@copying
def unsqueeze(context: Context, call: Call) -> Labels:
    """A dimension of size 1 more."""
    labels = context.get(call["self"], varying=True)
    labels.insert(call["dim"] % (len(labels) + 1), Uniform(1))
    return labels


@rule(
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze_.default,
    aten.squeeze_.dim,
    aten.squeeze_.dims,
)
@copying
def squeeze(context: Context, call: Call) -> Labels:
    """Dimensions of size 1 less."""
    labels = context.get(call["self"], varying=True)
    dims = call.arguments.get("dim", list(range(len(labels))))
    dims = {dim % max(len(labels), 1) for dim in ([dims] if isinstance(dims, int) else dims)}
    return [label for dim, label in enumerate(labels) if dim not in dims or label.size != 1]


@rule(aten.expand.default)
@copying
def expand(context: Context, call: Call) -> Labels:
    """Dimensions of size 1 repeated: nothing depends on their index."""
    labels = context.get(call["self"], varying=True)
    shape = call.output.shape
    new = len(shape) - len(labels)
    return [
        Uniform(size) if dim < new or (labels[dim - new].size == 1 and size != 1) else labels[dim - new]
        for dim, size in enumerate(shape)
    ]


@rule(aten.repeat.default)
@copying
def repeat(context: Context, call: Call) -> Labels:
    """Whole copies one after the other."""
    labels = context.get(call["self"])
    repeats = call["repeats"]
    new = len(repeats) - len(labels)
    return [
        Uniform(times) if dim < new else resolve(Product([Uniform(times), labels[dim - new]]))
        for dim, times in enumerate(repeats)
    ]


@rule(aten.slice.Tensor)
@copying
def slice_(context: Context, call: Call) -> Labels:
    """A stretch of a dimension; with a step, one index of every stretch."""
    labels = context.get(call["self"], varying=True)
    dim, step, length = call["dim"] % len(labels), call["step"], call.output.shape[call["dim"]]
    size = labels[dim].size
    start = call["start"] or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    if length == 0:
        labels[dim] = Uniform(0)
        return labels
    if step == 1:
        return regroup.slice_dim(context.algebra, labels, dim, start, length)
    labels = context.get(call["self"])
    try:
        if size % step or start >= step:
            raise MisfitError("the step does not divide the dimension")
        outer, inner = context.algebra.plain(context.algebra.split(labels[dim], size // step))
        cuts = [[(0, start)], [(start, 1)], [(start + 1, step - start - 1)]]
        context.algebra.carve(inner, [ranges for ranges in cuts if ranges[0][1]])
        labels[dim] = resolve(outer)
    except MisfitError:
        context.freeze(labels[dim])
        labels[dim] = context.fixed(length)
    return labels


@rule(aten.select.int)
@copying
def select(context: Context, call: Call) -> Labels:
    """One index of a dimension."""
    labels = context.get(call["self"], varying=True)
    dim = call["dim"] % len(labels)
    labels = regroup.slice_dim(context.algebra, labels, dim, call["index"] % labels[dim].size, 1)
    del labels[dim]
    return labels


@rule(aten.split.Tensor, aten.split_with_sizes.default, aten.unsafe_split.Tensor)
@copying
def split(context: Context, call: Call) -> tuple[Labels, ...]:
    """A dimension cut into stretches."""
    results = []
    start = 0
    dim = call["dim"] % len(call["self"].shape)
    for output in call.outputs:
        length = output.shape[dim]
        labels = context.get(call["self"], varying=True)
        results.append(regroup.slice_dim(context.algebra, labels, dim, start, length))
        start += length
    return tuple(results)


@rule(aten.unbind.int)
@copying
def unbind(context: Context, call: Call) -> tuple[Labels, ...]:
    """Every index of a dimension as a tensor of its own."""
    results = []
    dim = call["dim"] % len(call["self"].shape)
    for index in range(len(call.outputs)):
        labels = regroup.slice_dim(context.algebra, context.get(call["self"], varying=True), dim, index, 1)
        del labels[dim]
        results.append(labels)
    return tuple(results)


@rule(aten.flip.default, aten.roll.default, aten.triu.default, aten.tril.default)
def rearrange(context: Context, call: Call) -> Labels:
    """Operators that tell the indices of some dimensions apart."""
    labels = context.get(call["self"])
    dims = [-2, -1] if "diagonal" in call.arguments else call["dims"] or list(range(len(labels)))
    context.freeze(*(labels[dim] for dim in dims))
    labels = context.get(call["self"])
    for dim in dims:
        labels[dim] = context.fixed(labels[dim].size)
    return labels
