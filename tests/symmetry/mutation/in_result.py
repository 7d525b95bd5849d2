"""Faults of what a rule returns."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.symmetry.mutation.mistaken import pairs
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Labels
from weightspace.symmetry.rules import Rule
from weightspace.symmetry.rules.pointwise import pointwise


def returning(change: Callable[[Labels], Labels]) -> Callable[[Rule], Rule]:
    """An operator that changes the labels of every output."""

    def operator(rule: Rule) -> Rule:
        def faulty(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
            result = rule(context, call)
            return tuple(map(change, result)) if isinstance(result, tuple) else change(result)

        return faulty

    return operator


def fresh(labels: Labels) -> Labels:
    return [Atom(label.size) if label.size > 1 else label for label in labels]


def repeated(labels: Labels) -> Labels:
    labels = list(labels)
    for i, j in pairs(labels):
        labels[j] = labels[i]
        break
    return labels


def tied(rule: Rule) -> Rule:
    """Takes the operator for a point-wise one, where the shapes allow it."""

    def faulty(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
        shapes = {ref.shape for ref in call.outputs}
        try:
            fits = shapes == {tuple(torch.broadcast_shapes(*(ref.shape for ref in call.inputs)))}
        except RuntimeError:
            fits = False
        return pointwise(context, call) if fits else rule(context, call)

    return faulty
