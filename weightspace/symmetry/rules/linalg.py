"""Distances, bilinear forms and solutions of linear systems."""

from __future__ import annotations

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Label, Labels, Uniform, resolve
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten


@rule(aten._cdist_forward.default, aten._euclidean_dist.default)
def distance(context: Context, call: Call) -> Labels:
    """Distances between the rows of two matrices, in batches."""
    context.carry(call["x1"], call["x2"])
    (*lead1, rows1, inner1), (*lead2, rows2, inner2) = context.get(call["x1"]), context.get(call["x2"])
    lead = context.broadcast([lead1, lead2], call.output.shape[:-2])
    space = [*lead, rows1, rows2, context.unify(inner1, inner2)]
    space = [resolve(label) for label in space]
    context.contract(space)
    return space[:-1]


@rule(aten._trilinear.default)
def trilinear(context: Context, call: Call) -> Labels:
    """The product of three tensors, each with new dimensions of size 1, summed over some dimensions."""
    tensors: list[Labels] = []
    for number in (1, 2, 3):
        labels = context.get(call[f"i{number}"])
        for dim in sorted(call[f"expand{number}"]):
            labels.insert(dim, Uniform(1))
        tensors.append(labels)
    shape = [max(labels[dim].size for labels in tensors) for dim in range(len(tensors[0]))]
    space = [resolve(label) for label in context.broadcast(tensors, shape)]
    context.contract(space)
    summed = {dim % len(space) for dim in call["sumdim"]}
    return [label for dim, label in enumerate(space) if dim not in summed]


@rule(aten.linalg_inv_ex.default)
def inverse(context: Context, call: Call) -> tuple[Labels, ...]:
    """What permutes the rows of a matrix permutes the columns of its inverse."""
    *lead, rows, columns = context.get(call["A"])
    for side in (rows, columns):  # each sums over the other
        context.contract([*lead, side])
    return [*lead, columns, rows], list(lead)


@rule(aten._linalg_solve_ex.default)
def solve(context: Context, call: Call) -> tuple[Labels, ...]:
    """A X = B: equations in any order, unknowns in any order, right-hand sides in any order."""
    if not call["left"] or len(call["B"].shape) != len(call["A"].shape):
        return context.unknown(call)
    (*lead, rows, columns), (*lead2, known, sides) = context.get(call["A"]), context.get(call["B"])
    lead = context.broadcast([lead, lead2], call.output.shape[:-2])
    rows = context.unify(rows, known)
    context.contract([*lead, resolve(sides)])
    result: list[Label] = [resolve(label) for label in (*lead, columns, sides)]
    factors = [[context.fixed(size) for size in ref.shape] for ref in call.outputs[1:]]
    return result, *factors


@rule(aten.linalg_solve_triangular.default)
def solve_triangular(context: Context, call: Call) -> Labels:
    """A X = B or X A = B with a triangular A: the order of its rows and columns matters."""
    (*lead, rows, columns), (*lead2, first, second) = context.get(call["self"]), context.get(call["B"])
    tied, free = (first, second) if call["left"] else (second, first)
    context.freeze(rows, columns, tied)
    lead = context.broadcast([lead, lead2], call.output.shape[:-2])
    context.contract([*lead, resolve(free)])
    ordered = context.fixed(rows.size)
    return [*map(resolve, lead), *((ordered, resolve(free)) if call["left"] else (resolve(free), ordered))]


@rule(aten.renorm.default)
def renorm(context: Context, call: Call) -> Labels:
    """Every slice of one dimension scaled down to a norm."""
    labels = context.get(call["self"])
    context.contract([labels[call["dim"] % len(labels)]])
    return labels
