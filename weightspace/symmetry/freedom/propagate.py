"""The second pass over a trace: what its operators demand of exponents."""

from __future__ import annotations

from collections import Counter, defaultdict

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom.context import ExponentContext, Occurrence
from weightspace.symmetry.freedom.demands import apply
from weightspace.symmetry.freedom.exponents import ExponentAlgebra
from weightspace.symmetry.label import Fixed, Labels, Uniform, leaf_labels, resolve


def exponents(context: Context) -> ExponentContext:
    """Collects the demands on the exponents of all tensors of a trace.

    Args:
        context: The finished permutation pass, whose labels say how the axes of parameters are composed.
    """
    recorded = context.trace
    result = ExponentContext(recorded, ExponentAlgebra())
    result.written = {ref.storage for call in recorded.calls for ref in call.written}
    sharing: dict[int, set[int]] = defaultdict(set)
    for call in recorded.calls:
        for ref in (*call.inputs, *call.outputs):
            sharing[ref.storage].add(ref.key)
    for name, ref in recorded.tensors.items():
        result.owned[ref.key] = name
        labels: Labels = []
        for axis, label in enumerate(context.algebra.plain(context.labels[ref.key])):
            new, pairs = result.algebra.copied(label, thaw=True)
            labels.append(new)
            result.occurrences += [
                Occurrence(name, axis, number, unit, atom) for number, (atom, unit) in enumerate(pairs)
            ]
        result.labels[ref.key] = labels
        if not ref.dtype.is_floating_point:
            result.freeze(*labels)
    for ref in recorded.inputs:
        result.labels[ref.key] = [Fixed(size, "input") if size > 1 else Uniform(1) for size in ref.shape]
    for call in recorded.calls:
        _step(result, call, sharing)
    result.permissive = False
    for ref in recorded.outputs:
        result.freeze(*result.get(ref), why="output")
    for ref in recorded.tensors.values():
        if ref.key not in result.used:
            result.freeze(*result.labels[ref.key], why="unused")
    uses = Counter(key for call in recorded.calls for key in {ref.key for ref in call.inputs})
    _settle_readings(result, uses)
    for key in result.offsets:
        if uses[key] != result.normalised[key]:
            result.freeze(*result.labels[key], why="a variance with another use")
    for occurrence in result.occurrences:
        result.algebra.number(occurrence.exponent)
    result.algebra.close()
    return result


def _step(context: ExponentContext, call: Call, sharing: dict[int, set[int]]) -> None:
    context.call = call
    context.algebra.reason = call.name
    before = {ref.key: context.labels.get(ref.key) for ref in call.written}
    for ref, labels in zip(call.outputs, apply(context, call), strict=True):
        context.set(ref, labels)
    for ref in call.written:
        old = before[ref.key]
        if not call.outputs or ref.shape != call.output.shape:
            context.freeze(*(old or ()))
            continue
        new = context.labels[call.output.key]
        if old is not None and len(sharing[ref.storage]) > 1:  # others see the same entries
            new = [context.algebra.agree(pair) for pair in zip(old, new, strict=True)]
        context.set(ref, new)


def _settle_readings(context: ExponentContext, uses: Counter[int]) -> None:
    """Rules out rotations where a scale cannot be folded into all that reads the vector, and settles the shifts."""
    plain = {id(leaf) for atom in context.plain for leaf in leaf_labels(resolve(atom))}
    carriers = Counter(id(resolve(occurrence.exponent)) for occurrence in context.occurrences)
    read = Counter(id(resolve(reading.axis)) for reading in context.readings)
    for reading in context.readings:
        axis = id(resolve(reading.axis))
        keys = [key for key in (reading.mark.scale, reading.mark.shift) if key is not None]
        own = len(set(keys)) == len(keys) and all(uses[key] == 1 for key in keys)
        if not own or axis in plain or not read[axis] == carriers[axis] == 1:
            context.algebra.rule_out(reading.axis, kinds=("rotation",))
    for each in context.algebra.shifts:
        biases = [reading.bias for reading in context.readings if reading.mark is each.mark]
        if all(bias is not None and bias in context.owned and uses[bias] == 1 for bias in biases):
            context.algebra.rule_out(each.shift, kinds=("rotation",))
        else:
            assert each.mark.shift is not None
            context.turning.add(each.mark.shift)
            context.algebra.equate((each.sum, 1), (each.shift, -1), kinds=("rotation",))
