"""Look-ups by index: the axis that is looked into stays in place, unless the numbers live on that very axis."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


def look_up(context: Context, axis: Label, index: TensorRef) -> Label:
    """Ties an axis to the one that the numbers live on; other numbers tell its indices apart."""
    values = context.numbers(index)
    if values is not None and values.label.size == axis.size:
        return context.unify(axis, values.label)
    why = context.why_indexed(index)
    context.freeze(axis, why=why)
    if values is not None:
        context.freeze(values.label, why=why)
    return resolve(axis)


def chosen_by(context: Context, *indices: TensorRef) -> None:
    """Notes that what was looked up belongs to the indices that some numbers chose."""
    numbers = [(context.numbers(index), context.get(index, valued=True)) for index in indices]
    context.choose([(values, places) for values, places in numbers if values is not None])


@rule(aten.embedding.default)
def embedding(context: Context, call: Call) -> Labels:
    """Rows of a table."""
    look_up(context, context.get(call["weight"])[0], call["indices"])
    rows, features = context.get(call["weight"])
    places = context.get(call["indices"], valued=True)
    context.contract([*places, rows, features])
    chosen_by(context, call["indices"])
    return [*places, features]


@rule(aten.index_select.default)
def index_select(context: Context, call: Call) -> Labels:
    """Chosen indices of one dimension."""
    labels = context.get(call["self"])
    if not labels:
        return labels
    dim = call["dim"] % len(labels)
    look_up(context, labels[dim], call["index"])
    chosen_by(context, call["index"])
    labels = context.get(call["self"])
    place = context.get(call["index"], valued=True)[0] if call["index"].shape else Uniform(1)
    context.contract([*labels, place])
    labels[dim] = place
    return labels


@rule(aten.gather.default)
def gather(context: Context, call: Call) -> Labels:
    """One chosen index per entry of the index tensor."""
    index, labels = context.get(call["index"], valued=True), context.get(call["self"])
    if not labels or not index:
        return context.unknown(call)[0]
    along = call["dim"] % len(labels)
    read = look_up(context, labels[along], call["index"])
    labels = context.get(call["self"])
    result: Labels = []
    for dim, label in enumerate(index):
        if dim == along:
            result.append(label)
        elif label.size == labels[dim].size:
            result.append(context.unify(labels[dim], label))
        else:
            context.freeze(labels[dim], label)
            result.append(context.fixed(label.size))
    context.contract([*(resolve(label) for label in result), resolve(read)])
    return result


@rule(aten.index.Tensor, aten._unsafe_index.Tensor)
def index(context: Context, call: Call) -> Labels:
    """Advanced indexing by integer tensors; a mask selects entries one by one and is not understood."""
    indices = call["indices"]
    places = [dim for dim, ref in enumerate(indices) if ref is not None]
    refs = [indices[dim] for dim in places]
    if any(ref.dtype in (torch.bool, torch.uint8) for ref in refs):
        return context.unknown(call)[0]
    for dim, ref in zip(places, refs, strict=True):
        look_up(context, context.get(call["self"])[dim], ref)
    shape = torch.broadcast_shapes(*(ref.shape for ref in refs))
    chosen = context.broadcast([context.get(ref, valued=True) for ref in refs], shape)
    labels = context.get(call["self"])
    context.contract([*labels, *chosen])  # an index may be looked up in another place than its own
    chosen_by(context, *refs)
    kept = [label for dim, label in enumerate(labels) if dim not in places]
    together = places == list(range(places[0], places[-1] + 1))
    front = places[0] if together else 0
    return [*kept[:front], *chosen, *kept[front:]]


@rule(aten.nonzero.default)
def nonzero(context: Context, call: Call) -> Labels:
    """Places of entries whose values are known, in order."""
    context.freeze(*context.get(call["self"]), why=context.why_indexed(call["self"]))
    return [context.fixed(size) for size in call.output.shape]
