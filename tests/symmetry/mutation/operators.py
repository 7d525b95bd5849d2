"""Wrong rules, made mechanically from right ones.

Each operator turns a rule into one with a fault that a person might write: a freeze forgotten, a merged label not used,
two dimensions mistaken for each other. The fault is in the context that the rule works in, or in what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from weightspace.symmetry import propagate, wreath
from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Fixed, Label, Labels, Uniform, Varying, resolve
from weightspace.symmetry.rules import Rule, find_rule
from weightspace.symmetry.rules.pointwise import pointwise

Operator = Callable[[Rule], Rule]
Results = tuple[Labels, ...]


# ------------------------------------------------------------------------------------------ faults of the context


class FaultyAlgebra:
    """The algebra as one rule uses it; what it does inside is right."""

    def __init__(self, algebra: Algebra) -> None:
        self.right = algebra

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)


class FaultyContext(Context):
    """A context with its state shared, in which the rule of one call works."""

    Algebra: type[FaultyAlgebra] = FaultyAlgebra
    call: Call

    @property
    def algebra(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] - a field there
        return self.Algebra(self.__dict__["algebra"])

    @classmethod
    def around(cls, rule: Rule) -> Rule:
        def faulty(context: Context, call: Call) -> Labels | Results:
            inside = type(cls.__name__, (cls,), {"call": call}).__new__(cls)
            inside.__dict__ = context.__dict__
            type(inside).call = call
            return rule(inside, call)

        return faulty


class NeverFreezes(FaultyContext):
    class Algebra(FaultyAlgebra):
        def freeze(self, label: Label, reason: str | None = None) -> Label:
            return resolve(label)

    def freeze(self, *labels: Label, why: str | None = None) -> None:
        pass


class FreshForFixed(FaultyContext):
    def fixed(self, size: int, origin: Label | None = None) -> Label:
        return Atom(size) if size > 1 else Uniform(size)


class NothingInPlace(NeverFreezes, FreshForFixed):
    """Neither freezes its operands nor its results."""


class StaleLabel(FaultyContext):
    """Makes labels equal and goes on with the first of them as it was."""

    class Algebra(FaultyAlgebra):
        def unify(self, x: Label, y: Label) -> Label:
            self.right.unify(x, y)
            return x

        def join(self, x: Label, y: Label) -> Label:
            self.right.join(x, y)
            return x


class NoTie(FaultyContext):
    """Takes the label of one side, and leaves the other as it is."""

    class Algebra(FaultyAlgebra):
        def unify(self, x: Label, y: Label) -> Label:
            return resolve(y if isinstance(resolve(x), Uniform) else x)

        join = unify


class NoSpace(FaultyContext):
    def contract(self, space: Labels) -> None:
        pass


class NoChoices(FaultyContext):
    def carry(self, *refs: TensorRef) -> None:
        pass


class WrongPart(FaultyContext):
    """Takes a neighbouring part of equal size when a dimension is cut."""

    class Algebra(FaultyAlgebra):
        def carve(self, label: Label, groups: Sequence[list[tuple[int, int]]]) -> list[Label]:
            pieces = self.right.carve(label, groups)
            for i, j in pairs(pieces):
                pieces[i], pieces[j] = pieces[j], pieces[i]
                break
            return pieces


class WrongFactor(FaultyContext):
    """Mistakes the inner index for the outer one, where they have one size."""

    class Algebra(FaultyAlgebra):
        def split(self, label: Label, outer: int, site: int | None = None) -> tuple[Label, Label]:
            first, second = self.right.split(label, outer, site)
            return (second, first) if first.size == second.size else (first, second)


class WrongOperandAxis(FaultyContext):
    """Mistakes two dimensions of the first operand for each other."""

    def get(self, ref: TensorRef, *, varying: bool = False, valued: bool = False) -> Labels:
        labels = super().get(ref, varying=varying, valued=valued)
        return exchanged(labels) if ref.key == self.call.inputs[0].key else labels


def ignoring(number: int) -> type[FaultyContext]:
    """A context in which an operand seems to have the same values everywhere: it is tied to nothing."""

    class Ignoring(FaultyContext):
        def get(self, ref: TensorRef, *, varying: bool = False, valued: bool = False) -> Labels:
            labels = super().get(ref, varying=varying, valued=valued)
            inputs = self.call.inputs
            ignored = len(inputs) > number and ref.key == inputs[number].key
            return [Uniform(label.size) for label in labels] if ignored else labels

    return Ignoring


# ------------------------------------------------------------------------------------------ faults of the result


def returning(change: Callable[[Labels], Labels]) -> Operator:
    """An operator that changes the labels of every output."""

    def operator(rule: Rule) -> Rule:
        def faulty(context: Context, call: Call) -> Labels | Results:
            result = rule(context, call)
            return tuple(map(change, result)) if isinstance(result, tuple) else change(result)

        return faulty

    return operator


def fresh(labels: Labels) -> Labels:
    return [Atom(label.size) if label.size > 1 else label for label in labels]


def pairs(labels: Sequence[Label]) -> Iterator[tuple[int, int]]:
    """Pairs of dimensions that could be mistaken for each other unnoticed."""
    for j, second in enumerate(labels):
        for i, first in enumerate(labels[:j]):
            if first.size == second.size > 1 and resolve(first) is not resolve(second):
                yield i, j


def exchanged(labels: Labels) -> Labels:
    labels = list(labels)
    for i, j in pairs(labels):
        labels[i], labels[j] = labels[j], labels[i]
        break
    return labels


def repeated(labels: Labels) -> Labels:
    labels = list(labels)
    for i, j in pairs(labels):
        labels[j] = labels[i]
        break
    return labels


def tied(rule: Rule) -> Rule:
    """Takes the operator for a point-wise one, where the shapes allow it."""

    def faulty(context: Context, call: Call) -> Labels | Results:
        shapes = {ref.shape for ref in call.outputs}
        try:
            fits = shapes == {tuple(torch.broadcast_shapes(*(ref.shape for ref in call.inputs)))}
        except RuntimeError:
            fits = False
        return pointwise(context, call) if fits else rule(context, call)

    return faulty


OPERATORS: dict[str, Operator] = {
    "never freezes": NeverFreezes.around,
    "fresh label for fixed": FreshForFixed.around,
    "nothing in place": NothingInPlace.around,
    "tie instead": tied,
    "stale label": StaleLabel.around,
    "no tie": NoTie.around,
    "iteration space not noted": NoSpace.around,
    "choices not carried": NoChoices.around,
    "fresh outputs": returning(fresh),
    "output axes exchanged": returning(exchanged),
    "output axis repeated": returning(repeated),
    "operand axes exchanged": WrongOperandAxis.around,
    "wrong part": WrongPart.around,
    "wrong factor": WrongFactor.around,
    **{f"operand {number + 1} ignored": ignoring(number).around for number in range(5)},
}


# ------------------------------------------------------------------------------------------ faults of what is shared


def _binds_without_freezing(right: Callable[[Algebra, Atom, Label], Label]) -> Any:
    def bind(self: Algebra, atom: Atom, label: Label) -> Label:
        frozen, atom.frozen = atom.frozen, None
        try:
            return right(self, atom, label)
        finally:
            atom.frozen = frozen

    return bind


def _joins_without_freezing(right: Callable[[Algebra, Label, Label], Label]) -> Any:
    def join(self: Algebra, x: Label, y: Label) -> Label:
        x, y = resolve(x), resolve(y)
        return x if isinstance(x, Fixed) and x.size == y.size else right(self, x, y)

    return join


def _collapses_to_the_first(right: Callable[[Algebra, Sequence[Label]], list[Label]]) -> Any:
    def plain(self: Algebra, labels: Sequence[Label]) -> list[Label]:
        return right(self, [label.choices[0] if isinstance(label, Varying) else label for label in labels])

    return plain


def _depends_on_anything(right: Callable[..., dict[Atom, tuple[Atom, ...]]]) -> Any:
    def restrict(labels: list[Label], known: Any, allowed: dict[Atom, set[Atom]]) -> None:
        before = {atom: set(outers) for atom, outers in allowed.items()}
        right(labels, known, allowed)
        for atom, outers in before.items():
            allowed[atom] |= outers

    return restrict


SHARED: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "freeze does nothing": (Algebra, "freeze", lambda right: lambda self, label, reason=None: resolve(label)),
    "ordered stretches are free": (Context, "fixed", lambda right: FreshForFixed.fixed),
    "binding forgets that an atom is frozen": (Algebra, "bind", _binds_without_freezing),
    "meeting ordered indices freezes nothing": (Algebra, "join", _joins_without_freezing),
    "varying labels collapse to the first": (Algebra, "plain", _collapses_to_the_first),
    "iteration spaces are not noted": (Context, "contract", lambda right: NoSpace.contract),
    "an inner group depends on all outer ones of any tensor": (wreath, "_restrict", _depends_on_anything),
}


@contextmanager
def shared(fault: str) -> Iterator[None]:
    """All derivations have a fault in what the rules work with while this is open."""
    owner, name, wrong = SHARED[fault]
    with mock.patch.object(owner, name, wrong(getattr(owner, name))):
        yield


@contextmanager
def injected(overload: torch._ops.OpOverload, fault: str) -> Iterator[None]:
    """Derivations take the faulty rule for an overload while this is open; one without a rule has a faulty default."""
    wrong = OPERATORS[fault](find_rule(overload) or Context.unknown)
    with mock.patch.object(propagate, "find_rule", lambda op: wrong if op is overload else find_rule(op)):
        yield
