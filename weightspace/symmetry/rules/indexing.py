"""Look-ups by index: the axis that is indexed stays in place, the others pass."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, Uniform
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten.embedding.default)
def embedding(context: Context, call: Call) -> Labels:
    """Rows of a table."""
    context.freeze(context.get(call["weight"])[0], why="embedding index")
    return [*context.get(call["indices"]), context.get(call["weight"])[1]]


@rule(aten.index_select.default)
def index_select(context: Context, call: Call) -> Labels:
    """Chosen indices of one dimension."""
    labels = context.get(call["self"])
    if not labels:
        return labels
    dim = call["dim"] % len(labels)
    context.freeze(labels[dim], why="index")
    labels = context.get(call["self"])
    labels[dim] = context.get(call["index"])[0] if call["index"].shape else Uniform(1)
    return labels


@rule(aten.gather.default)
def gather(context: Context, call: Call) -> Labels:
    """One chosen index per entry of the index tensor."""
    index, labels = context.get(call["index"]), context.get(call["self"])
    if not labels or not index:
        return context.unknown(call)[0]
    along = call["dim"] % len(labels)
    context.freeze(labels[along], why="index")
    result: Labels = []
    for dim, label in enumerate(index):
        if dim == along:
            result.append(label)
        elif label.size == labels[dim].size:
            result.append(context.unify(labels[dim], label))
        else:
            context.freeze(labels[dim], label)
            result.append(context.fixed(label.size))
    return result


@rule(aten.index.Tensor, aten._unsafe_index.Tensor)
def index(context: Context, call: Call) -> Labels:
    """Advanced indexing by integer tensors; a mask selects entries one by one and is not understood."""
    indices = call["indices"]
    places = [dim for dim, ref in enumerate(indices) if ref is not None]
    refs = [indices[dim] for dim in places]
    if any(ref.dtype in (torch.bool, torch.uint8) for ref in refs):
        return context.unknown(call)[0]
    labels = context.get(call["self"])
    context.freeze(*(labels[dim] for dim in places), why="index")
    labels = context.get(call["self"])
    shape = torch.broadcast_shapes(*(ref.shape for ref in refs))
    chosen = context.broadcast([context.get(ref) for ref in refs], shape)
    kept = [label for dim, label in enumerate(labels) if dim not in places]
    together = places == list(range(places[0], places[-1] + 1))
    front = places[0] if together else 0
    return [*kept[:front], *chosen, *kept[front:]]
