"""Diagonals of matrices, and matrices of diagonals."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten.diagonal.default, aten.diagonal_copy.default)
def diagonal(context: Context, call: Call) -> Labels:
    """Entries with equal indices on two dimensions, which so move together; the diagonal is the last dimension."""
    labels = context.get(call["self"])
    dims = [call[name] % len(labels) for name in ("dim1", "dim2")]
    rows, columns = (labels[dim] for dim in dims)
    if call["offset"] == 0 and rows.size == columns.size:
        along: Label = resolve(context.unify(rows, columns))
    else:
        context.freeze(rows, columns)
        along = context.fixed(call.output.shape[-1])
    return [*(label for dim, label in enumerate(context.get(call["self"])) if dim not in dims), along]


@rule(aten.diag_embed.default)
def embedded(context: Context, call: Call) -> Labels:
    """The last dimension laid on the diagonal of two new ones, zeros beside it."""
    *labels, along = context.get(call["self"])
    rank = len(call.output.shape)
    dims = sorted(call[name] % rank for name in ("dim1", "dim2"))
    size = call.output.shape[dims[0]]
    along = context.algebra.fresh(along)  # equal values lie on the diagonal, and zeros beside it
    if call["offset"]:
        context.freeze(along)
        along = context.fixed(size)
    for dim in dims:
        labels.insert(dim, along)
    return labels
