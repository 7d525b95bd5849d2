"""Faults of the context that a rule works in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.symmetry.mutation.mistaken import exchanged, pairs
from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Label, Labels, Uniform, resolve
from weightspace.symmetry.rules import Rule


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
        def faulty(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
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
