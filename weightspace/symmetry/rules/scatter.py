"""Writing by index: the axis that is written to stays in place, unless the numbers live on that very axis."""

from __future__ import annotations

import math

import torch

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten
MASKS = (torch.bool, torch.uint8)


def frozen(context: Context, label: Label, why: str | None = None) -> Label:
    """A dimension whose indices are told apart from now on, also where its values did not depend on them."""
    return context.algebra.freeze(context.algebra.fresh(label), why)


def _written(context: Context, axis: Label, index: TensorRef) -> Label:
    values = context.numbers(index)
    if values is not None and values.label.size == axis.size:
        return context.unify(axis, values.label)
    why = context.why_indexed(index)
    if values is not None:
        context.freeze(values.label, why=why)
    return frozen(context, axis, why)


def _matched(context: Context, target: Label, part: Label) -> tuple[Label, Label]:
    """A dimension and the one that is laid on its first indices: equal ones move together."""
    if target.size == part.size:
        both = context.unify(target, part)
        return both, both
    return frozen(context, target), frozen(context, part)


@rule(
    aten.scatter.src,
    aten.scatter.value,
    aten.scatter_.src,
    aten.scatter_.value,
    aten.scatter_add.default,
    aten.scatter_add_.default,
    aten.scatter_reduce.two,
    aten.scatter_reduce_.two,
)
def scatter(context: Context, call: Call) -> Labels:
    """One place along a dimension for every entry of the index tensor."""
    labels, index = context.get(call["self"]), context.get(call["index"], valued=True)
    if not labels or not index:
        return context.unknown(call)[0]
    along = call["dim"] % len(labels)
    source = None if call.arguments.get("src") is None else context.get(call["src"])
    spread: Label = index[along]
    for dim, label in enumerate(index):
        if source is not None:
            _, label = _matched(context, source[dim], label)
        if dim != along:
            labels[dim], _ = _matched(context, labels[dim], label)
        elif source is not None and call.name in ("scatter", "scatter_"):
            spread = frozen(context, label)  # of several entries for one place the last stays
        else:
            spread = label
    labels[along] = _written(context, labels[along], call["index"])
    context.contract([*map(resolve, labels), resolve(spread)])
    return [resolve(label) for label in labels]


@rule(
    aten.index_add.default,
    aten.index_add_.default,
    aten.index_copy.default,
    aten.index_copy_.default,
)
def index_add(context: Context, call: Call) -> Labels:
    """Slices of one dimension, each to its place."""
    labels, source = context.get(call["self"]), context.get(call["source"])
    if not labels or not source:
        return context.unknown(call)[0]
    along = call["dim"] % len(labels)
    (spread,) = context.get(call["index"], valued=True) or [Uniform(1)]
    spread = context.unify(spread, source[along])
    if call.name.startswith("index_copy"):
        spread = frozen(context, spread)  # of several slices for one place the last stays
    for dim, label in enumerate(source):
        if dim != along:
            labels[dim] = context.unify(labels[dim], label)
    labels[along] = _written(context, labels[along], call["index"])
    context.contract([*map(resolve, labels), resolve(spread)])
    return [resolve(label) for label in labels]


@rule(
    aten.index_fill.int_Scalar,
    aten.index_fill.int_Tensor,
    aten.index_fill_.int_Scalar,
    aten.index_fill_.int_Tensor,
)
def index_fill(context: Context, call: Call) -> Labels:
    """One value for chosen indices of a dimension."""
    labels = context.get(call["self"])
    if not labels:
        return context.unknown(call)[0]
    along = call["dim"] % len(labels)
    context.get(call["index"], valued=True)
    labels[along] = _written(context, labels[along], call["index"])
    return [resolve(label) for label in labels]


@rule(aten.index_put.default, aten.index_put_.default, aten._unsafe_index_put.default)
def index_put(context: Context, call: Call) -> Labels:
    """Entries at given places; a mask is such a list of places, in order."""
    places = [dim for dim, ref in enumerate(call["indices"]) if ref is not None]
    refs: list[TensorRef] = [call["indices"][dim] for dim in places]
    if any(ref.dtype in MASKS for ref in refs):
        return _masked(context, call, refs) if places == [0] else context.unknown(call)[0]
    labels = context.get(call["self"])
    for dim, ref in zip(places, refs, strict=True):
        labels[dim] = _written(context, labels[dim], ref)
    shape = torch.broadcast_shapes(*(ref.shape for ref in refs))
    spread = context.broadcast([context.get(ref, valued=True) for ref in refs], shape)
    kept = [dim for dim in range(len(labels)) if dim not in places]
    front = places[0] if places == list(range(places[0], places[-1] + 1)) else 0
    region = [*(labels[dim] for dim in kept[:front]), *spread, *(labels[dim] for dim in kept[front:])]
    region = context.broadcast([region, context.get(call["values"])], [label.size for label in region])
    if not call["accumulate"] and math.prod(call["values"].shape) > 1:
        for number in range(front, front + len(shape)):
            region[number] = frozen(context, region[number])  # of several entries for one place the last stays
    for dim, label in zip(kept, [*region[:front], *region[front + len(shape) :]], strict=True):
        labels[dim] = label
    labels = [resolve(label) for label in labels]
    context.contract([*labels, *(resolve(label) for label in region[front : front + len(shape)])])
    return labels


def _masked(context: Context, call: Call, refs: list[TensorRef]) -> Labels:
    """Entries where a mask on the first dimensions holds: one value for all, or one slice after the other."""
    labels, mask, values = context.get(call["self"]), context.get(refs[0]), context.get(call["values"])
    if math.prod(call["values"].shape) == 1:
        return context.broadcast([labels, [*mask, *(Uniform(1) for _ in labels[len(mask) :])]], call["self"].shape)
    for dim in range(len(mask)):
        labels[dim] = frozen(context, context.unify(labels[dim], mask[dim]), "mask")
    rest = len(labels) - len(mask)
    if len(values) > rest:
        context.freeze(*values[: len(values) - rest], why="mask")
        values = values[len(values) - rest :]
    return context.broadcast([labels, values], call["self"].shape)


@rule(aten.masked_scatter.default, aten.masked_scatter_.default)
def masked_scatter(context: Context, call: Call) -> Labels:
    """Entries of the source, in order, to where the mask holds.

    A mask that is the same along trailing dimensions takes whole slices of a source that has these dimensions too.
    """
    shape = call.output.shape
    labels, source = context.get(call["self"]), context.get(call["source"])
    mask = context.broadcast([context.get(call["mask"])], shape)
    labels = context.broadcast([labels], shape)
    whole = 0  # trailing dimensions that are taken as they are
    while (
        whole < min(len(shape), len(source)) - 1
        and isinstance(mask[-1 - whole], Uniform)
        and source[-1 - whole].size == shape[-1 - whole]
    ):
        whole += 1
        labels[-whole] = context.unify(labels[-whole], source[-whole])
    for dim in range(len(shape) - whole):
        labels[dim] = frozen(context, context.unify(labels[dim], mask[dim]), "mask")
    context.freeze(*source[: len(source) - whole], why="mask")
    return [resolve(label) for label in labels]
