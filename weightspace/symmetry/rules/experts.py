"""Grouped products of mixtures of experts, and the counts that delimit the groups."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.choice import Choice, Mark
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten._grouped_mm.default)
def grouped_mm(context: Context, call: Call) -> Labels:
    """Stretches of rows, each times the matrix of its expert: (S, K) x (E, K, N) -> (S, N).

    Where a stretch ends says which expert it is for, so the experts stay in place; each may still permute its own
    hidden units, since every row knows its expert.
    """
    x, weight, ends = call["self"], call["mat2"], call["offs"]
    if len(x.shape) != 2 or len(weight.shape) != 3 or ends is None or call["bias"] is not None:
        return context.unknown(call)[0]
    row, read = context.get(x)
    expert, contracted, written = context.get(weight)
    context.freeze(row, expert, *context.get(ends), why="expert boundaries")
    # Ordered, but the same experts wherever the same boundaries are used.
    context.labels[ends.key] = [context.identified(label) for label in context.get(ends)]
    expert = context.unify(expert, context.get(ends)[0])
    row, inner = context.identified(row), context.unify(read, contracted)
    choice = Choice(ends.key, expert, (row,))
    context.carry(x)
    context.carried = (*(mark for mark in context.carried if mark.choice != choice), Mark(choice))
    result = [resolve(label) for label in (row, written)]
    context.contract([*result, resolve(inner), resolve(expert)])
    return result


@rule(aten.histc.default)
def count(context: Context, call: Call) -> Labels:
    """How many entries fall into every bin; for numbers on an axis, a bin for each index moves with it."""
    (bins,) = call.output.shape
    values = context.numbers(call["self"])
    if values is not None and (call["min"], call["max"], values.label.size) == (0, bins - 1, bins):
        context.get(call["self"], valued=True)
        return [resolve(values.label)]
    context.get(call["self"])
    return [context.fixed(bins)]
