"""Propagation of labels through a trace, call by call."""

from __future__ import annotations

from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Fixed, Site, Uniform
from weightspace.symmetry.rules import find_rule
from weightspace.symmetry.trace import Trace

MOST_PASSES = 12


def propagate(trace: Trace) -> Context:
    """Labels every tensor of a trace, in as many passes as stacked projections need (mostly one or two)."""
    hints: frozenset[Site] = frozenset()
    for _ in range(MOST_PASSES):
        context = Context(trace, Algebra(hints))
        run(context)
        if context.algebra.new_hints <= hints:
            break
        hints |= context.algebra.new_hints
    return context


def run(context: Context) -> None:
    """Labels every tensor of the trace of a fresh context, in one pass."""
    recorded = context.trace
    context.written = {ref.storage for call in recorded.calls for ref in call.written}
    for ref in recorded.tensors.values():
        context.labels[ref.key] = [Atom(size) if size > 1 else Uniform(size) for size in ref.shape]
    for ref in recorded.inputs:
        context.labels[ref.key] = [Fixed(size, "input") if size > 1 else Uniform(size) for size in ref.shape]
        context.sources[ref.key] = "input"
    for number, call in enumerate(recorded.calls):
        context.site = number
        context.algebra.reason = _reason(context, call)
        _step(context, call)
    for ref in recorded.outputs:
        context.freeze(*context.get(ref), why="output")
    for ref in recorded.tensors.values():
        if ref.key not in context.used:
            context.freeze(*context.labels[ref.key], why="unused")


def _reason(context: Context, call: Call) -> str:
    """What an operator freezes for: its name; whole numbers that no weight decides are those of positions."""
    numbers = all(not ref.dtype.is_floating_point and not ref.dtype.is_complex for ref in call.outputs)
    source = context.source(call.inputs) if numbers else "weights"
    return call.name if source == "weights" else source


def _step(context: Context, call: Call) -> None:
    context.carried = ()
    function = find_rule(call.op)
    result = context.unknown(call) if function is None else function(context, call)
    outputs = result if isinstance(result, tuple) else (result,)
    shapes = [tuple(label.size for label in labels) for labels in outputs]
    if shapes != [ref.shape for ref in call.outputs]:
        outputs = context.unknown(call)
        context.carried = ()
    for ref, labels in zip(call.outputs, outputs, strict=True):
        context.set(ref, labels)
        context.makers[ref.key] = call
        context.sources[ref.key] = context.source(call.inputs)
    for ref in call.written:
        context.marks.pop(ref.key, None)
        if call.outputs and ref.shape == call.output.shape:
            context.set(ref, context.labels[call.output.key])
