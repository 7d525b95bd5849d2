"""Samples of operators with the symmetry that they should have, and the numeric check of what the rules derive.

The symmetry of a sample is written as a signature, in the manner of an einsum: one word per dimension, commas between
tensors, operands -> results. ``"m k, k n -> m n"`` says that rows, inner and columns of a matrix product may each be
permuted, and which of them move together.

* ``a``: one free permutation; ``.``: ordered; ``_``: values do not depend on the index; ``1``: a dimension of size 1.
* ``a*b``: the product of an outer and an inner index; ``[a+b]``: side by side; ``a@2:3``: indices 2, 3 and 4 of a.
* ``{a|b}``: depends on which part of the sum of the tensor one is in.
* ``; d|h``: the permutation of d may be another one for every index of h.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tests.symmetry.oracle import Assignment
from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.derive import spec_of
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, Uniform, Varying, resolve
from weightspace.symmetry.propagate import MOST_PASSES, run
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.trace import Trace, trace
from weightspace.symmetry.wreath import dependencies

SEEDS = range(3)


@dataclass(frozen=True)
class Sample:
    """One use of an operator.

    Attributes:
        op: The overload that it must run; None for several operators together.
        signature: The symmetry that it should have.
        run: A function of the operands, from which the symmetry is derived; constants are its own.
        operands: Tensors, or shapes of random ones.
        real: The same function for computing values, where the operator of ``run`` has no kernel on the CPU.
        case: What is special about it.
    """

    op: torch._ops.OpOverload | None
    signature: str
    run: Callable[..., Any]
    operands: tuple[tuple[int, ...] | Tensor, ...]
    real: Callable[..., Any] | None = None
    case: str = ""

    def __str__(self) -> str:
        return f"{self.op or 'together'}{': ' * bool(self.case)}{self.case}"

    @property
    def values(self) -> list[Tensor]:
        """The operands, in float64."""
        generator = torch.Generator().manual_seed(0)
        return [
            torch.randn(operand, generator=generator, dtype=torch.float64) if isinstance(operand, tuple) else operand
            for operand in self.operands
        ]


def sample(
    op: torch._ops.OpOverload | None,
    signature: str,
    run: Callable[..., Any],
    *operands: tuple[int, ...] | Tensor,
    real: Callable[..., Any] | None = None,
    case: str = "",
) -> Sample:
    """A sample, with the operands as arguments."""
    return Sample(op, signature, run, operands, real, case)


def undecomposed(run: Callable[..., Any]) -> Callable[..., Any]:
    """The function in inference mode, where composite operators are not taken apart before they are recorded."""

    def inside(*operands: Tensor) -> Any:
        with torch.inference_mode():
            return run(*operands)

    return inside


class Function(nn.Module):
    """A function of its parameters."""

    def __init__(self, run: Callable[..., Any], values: Sequence[Tensor]) -> None:
        super().__init__()
        self.run = run
        for number, value in enumerate(values):
            self.register_parameter(str(number), nn.Parameter(value, requires_grad=False))

    def forward(self) -> Any:
        return self.run(*self.parameters())


@dataclass(frozen=True)
class Derived:
    """What the rules make of a sample whose outputs may move."""

    trace: Trace
    context: Context
    operands: list[list[Label]]
    results: list[list[Label]]


def derived(entry: Sample) -> Derived:
    """Derives the labels of operands and results; the results are not frozen."""
    recorded = trace(Function(entry.run, entry.values).eval(), ())
    hints = frozenset()
    for _ in range(MOST_PASSES):
        context = Context(dataclasses.replace(recorded, outputs=()), Algebra(hints))
        run(context)
        if context.algebra.new_hints <= hints:
            break
        hints |= context.algebra.new_hints
    operands = [context.get(ref) for ref in recorded.tensors.values()]
    results = [context.get(ref, varying=True) for ref in recorded.outputs]
    for ref in recorded.outputs:  # a result shows its own dimensions only, not which index of another axis was chosen
        context.marks.pop(ref.key, None)
    return Derived(recorded, context, operands, results)


def check(entry: Sample) -> None:
    """Asserts that a sample has the symmetry of its signature, and that its values really have it."""
    found = derived(entry)
    if entry.op is not None:
        assert entry.op in {call.op for call in found.trace.calls}, f"{entry} never runs its operator"
    has, should = signature(found), normalised(entry.signature)
    assert has == should, f"derived {has!r}, expected {should!r}"
    check_values(entry, found)


def check_values(entry: Sample, found: Derived) -> None:
    """Asserts that the operator, run on permuted operands, gives the permuted results that the labels claim."""
    compute = entry.real or entry.run
    values = entry.values
    expected = _results(compute(*values))
    assert [tuple(y.shape) for y in expected] == [ref.shape for ref in found.trace.outputs]
    for seed in SEEDS:
        moved = Assignment(seed, uniform=True)
        operands = [permuted(moved, x, axes) for x, axes in zip(values, found.operands, strict=True)]
        for y, result, axes in zip(expected, _results(compute(*operands)), found.results, strict=True):
            same(permuted(moved, y, axes), result)
    named = {f"result {number}": ref for number, ref in enumerate(found.trace.outputs)}
    spec = spec_with(found, named)
    state = dict(zip(found.trace.tensors, values, strict=True))
    for seed in SEEDS:
        element = spec.random_element(torch.Generator().manual_seed(seed))
        wanted = spec.apply(element, dict(zip(named, expected, strict=True)))
        results = _results(compute(*spec.apply(element, state).values()))
        for y, result in zip(wanted.values(), results, strict=True):
            same(y, result)


def spec_with(found: Derived, results: Mapping[str, TensorRef]) -> Spec:
    """The spec of a sample, wreath products and all, with its results as if they were tensors of the state dict."""
    recorded = dataclasses.replace(found.trace, tensors={**found.trace.tensors, **results}, outputs=())
    # No tensor of a spec has labels that vary from part to part: these are made equal first.
    labels = {**found.context.labels, **{ref.key: found.context.get(ref) for ref in results.values()}}
    return spec_of(dataclasses.replace(found.context, trace=recorded, labels=labels))


def _results(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def same(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9, equal_nan=True)


def permuted(moved: Assignment, tensor: Tensor, labels: list[Label]) -> Tensor:
    """A tensor with its entries moved as its labels say."""
    index = torch.tensor(moved.flat(labels, tuple(tensor.shape)), dtype=torch.int64)
    return tensor.reshape(-1)[index].reshape(tensor.shape)


# -------------------------------------------------------------------------------------------------- signatures


def signature(found: Derived) -> str:
    """The signature of derived labels, with its letters in order."""
    letters: dict[Atom, str] = {}
    sides = [", ".join(_tensor(labels, letters) for labels in side) for side in (found.operands, found.results)]
    outers = dependencies(found.context, letters)
    pairs = [f"{letters[atom]}|{letters[outer]}" for atom in letters for outer in outers.get(atom, ())]
    return normalised(f"{' -> '.join(sides)}; {' '.join(pairs)}")


def normalised(text: str) -> str:
    """A signature with its letters renamed in the order in which they occur, and its pairs sorted."""
    text, _, pairs = text.partition(";")
    names: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"{chr(ord('a') + len(names) % 26)}{len(names) // 26 or ''}")

    word = re.compile(r"[a-z]\w*")
    text = word.sub(rename, " ".join(text.split()))
    text = re.sub(r"([._])@\d+:\d+", r"\1", text)  # which of the ordered indices does not matter
    previous = None
    while text != previous:
        previous = text
        text = re.sub(r"\.(?:[*+|]\.)+", ".", text)  # ordered indices side by side, and ordered factors
        text = re.sub(r"[\[{]([._])[\]}]", r"\1", text)
    pairs = " ".join(sorted(word.sub(rename, pairs).split()))
    return f"{text}; {pairs}" if pairs else text


def _tensor(labels: list[Label], letters: dict[Atom, str]) -> str:
    return " ".join(_label(resolve(label), letters) for label in labels) or "()"


def _label(label: Label, letters: dict[Atom, str]) -> str:
    if label.size == 1:
        return "1"
    match label:
        case Atom():
            return "." if label.frozen else letters.setdefault(label, f"x{len(letters)}")
        case Product():
            return "*".join(_label(factor, letters) for factor in label.factors)
        case Sum():
            return "[" + "+".join(_stretch(label, run.part, run.start, run.length, letters) for run in label.runs) + "]"
        case Varying():
            return "{" + "|".join(_label(choice, letters) for choice in label.choices) + "}"
        case Uniform():
            return "_"
        case Fixed():
            return "."


def _stretch(label: Sum, part: int, start: int, length: int, letters: dict[Atom, str]) -> str:
    whole = label.parts[part]
    text = _label(whole, letters)
    return text if length == whole.size else f"{text}@{start}:{length}"
