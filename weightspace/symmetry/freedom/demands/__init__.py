"""What every ATen operator demands of exponents: one file per family of operators."""

from __future__ import annotations

from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.freedom.demands import (  # noqa: F401 - importing a family registers its demands
    arithmetic,
    contraction,
    normalization,
    placement,
    reduction,
    unitwise,
)
from weightspace.symmetry.freedom.registry import registered
from weightspace.symmetry.label import Labels
from weightspace.symmetry.rules import fold, indexing, join, matrix, pointwise, view
from weightspace.symmetry.rules.registry import registered as rule_of

# Rules of the permutation pass that only carry labels from place to place, or build on `einsum` and `broadcast`.
_CARRYING = {
    view.reshape, view.permute, view.transpose, view.t, view.unsqueeze, view.squeeze, view.expand,
    view.repeat, view.slice_, view.select, view.split, view.unbind, pointwise.same, join.stack, fold.unfold, fold.fold,
    matrix.mm, matrix.addmm, matrix.bmm, matrix.baddbmm, matrix.mv, matrix.addmv, matrix.dot, matrix.linear,
}  # fmt: skip
_LOOKING_UP = {indexing.embedding, indexing.index_select, indexing.index}


def apply(context: ExponentContext, call: Call) -> tuple[Labels, ...]:
    """Labels of the outputs of a call, with what it demands noted."""
    rule = rule_of(call.op)
    function = registered(call.op) or (rule if rule in _CARRYING or rule in _LOOKING_UP else None)
    if function is None:
        return context.zeroed(call)
    context.permissive = rule in _CARRYING and registered(call.op) is None
    result = function(context, call)
    context.permissive = False
    outputs = result if isinstance(result, tuple) else (result,)
    shapes = [tuple(label.size for label in labels) for labels in outputs]
    if function in _LOOKING_UP:  # a number that is 0 is a place like any other
        outputs = tuple([context.algebra.nonzero(label) for label in labels] for labels in outputs)
    return outputs if shapes == [ref.shape for ref in call.outputs] else context.zeroed(call)


__all__ = ["apply"]
