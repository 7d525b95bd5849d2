"""The context of the second pass: labels whose atoms stand for exponents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom.equations import KINDS, NONLINEAR, Mark
from weightspace.symmetry.freedom.exponents import ExponentAlgebra
from weightspace.symmetry.freedom.freedom import Kind
from weightspace.symmetry.label import Atom, Fixed, Label, Labels, Uniform, leaf_labels, resolve


@dataclass(frozen=True, eq=False)
class Occurrence:
    """An atom of the permutation pass in an axis of a parameter, with the atom that stands for its exponent there."""

    tensor: str
    axis: int
    number: int  # among the atoms of the axis, in order
    unit: Atom
    exponent: Atom


@dataclass(frozen=True, eq=False)
class Reading:
    """A matrix that reads a normalised vector whose scale and shift can be folded into it."""

    mark: Mark
    axis: Atom
    bias: int | None


@dataclass
class ExponentContext(Context):
    """As `Context`, with what operators demand of exponents.

    Attributes:
        occurrences: The atoms of all parameters and buffers.
        centred: Atoms whose mean a layer subtracts: a rotation must keep it.
        owned: Names of parameters and buffers, by tensor key.
        offsets: For variances that are used as (v + offset): the offset, by tensor key.
        normalised: How often such a variance is used so.
        readings: Matrices that read a marked vector.
        turning: Keys of shifts that turn with the stream, because not all that reads them has a bias to take them up.
        plain: Atoms that something else than such a matrix product reads.
        permissive: Whether the rule at work may see marked values without spoiling them.
        call: The call at work.
    """

    algebra: ExponentAlgebra  # type: ignore[assignment]
    occurrences: list[Occurrence] = field(default_factory=list)
    centred: list[Atom] = field(default_factory=list)
    owned: dict[int, str] = field(default_factory=dict)
    offsets: dict[int, float] = field(default_factory=dict)
    normalised: Counter[int] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)
    turning: set[int] = field(default_factory=set)
    plain: list[Atom] = field(default_factory=list)
    permissive: bool = False
    call: Call | None = None

    def get(self, ref: TensorRef, *, varying: bool = False, valued: bool = False) -> Labels:
        """As in the base class; a rule that knows nothing of marks spoils the rotation of marked values."""
        labels = super().get(ref, varying=varying, valued=valued)
        if not self.permissive:
            self.unmark(*labels)
        return labels

    def carry(self, *refs: TensorRef) -> None:
        """Choices matter to permutations only."""

    def owns(self, *refs: TensorRef) -> bool:
        """Whether tensors are parameters or buffers of the network themselves, not made from them."""
        return all(ref.key in self.owned for ref in refs)

    def mark_of(self, label: Label) -> Mark | None:
        """The mark of a dimension, if it has one."""
        return self.algebra.marks.get(id(resolve(label)))

    def unmark(self, *labels: Label) -> None:
        """Rules out rotations of marked values, and of what could have been folded into a matrix that is read here."""
        for label in labels:
            for leaf in leaf_labels(resolve(label)):
                if isinstance(leaf, Atom):
                    self.plain.append(leaf)
                    self.algebra.spoil(leaf)

    def rule_out(self, *labels: Label, kinds: Sequence[Kind] = KINDS) -> None:
        """Demands the exponent 0 in the systems of some kinds."""
        if tuple(kinds) == KINDS:
            self.freeze(*labels)
        else:
            self.algebra.rule_out(*labels, kinds=kinds)

    def chosen(self, condition: Labels, labels: Labels) -> Labels:
        """Labels of a tensor of which a condition has chosen entries: no matrix acts along what it depends on."""
        result = [*labels]
        for number in range(1, min(len(condition), len(labels)) + 1):
            if not isinstance(condition[-number], Uniform):
                self.unmark(labels[-number])
                self.algebra.rule_out(labels[-number], kinds=NONLINEAR)
                result[-number] = self.algebra.varied(labels[-number])
        return result

    def broadcast(self, tensors: Sequence[Labels], shape: Sequence[int]) -> Labels:
        """Exponents of a sum: those of all summands agree, and are 0 where one does not depend on the index."""
        result: Labels = []
        for dim, size in enumerate(shape):
            column: Labels = []
            for labels in tensors:
                place = dim - len(shape) + len(labels)
                column.append(labels[place] if place >= 0 and labels[place].size == size else Uniform(size))
            result.append(self.algebra.agree(column))
        return [resolve(label) for label in result]

    def multiply(self, x: Labels, y: Labels, shape: Sequence[int], *, power: int = 1) -> Labels:
        """Exponents of a product of two tensors, or with ``power=-1`` of a quotient."""
        result: Labels = []
        for dim, size in enumerate(shape):
            column: Labels = []
            for labels in (x, y):
                place = dim - len(shape) + len(labels)
                column.append(labels[place] if place >= 0 and labels[place].size == size else Uniform(size))
            result.append(self.algebra.times(*column, power=power))
        return [resolve(label) for label in result]

    def einsum(self, equation: str, *tensors: Labels) -> Labels:
        """Exponents of a contraction: those that are summed over cancel, those of shared indices add."""
        inputs, output = equation.split("->")
        by_letter: dict[str, list[Label]] = {}
        for letters, labels in zip(inputs.split(","), tensors, strict=True):
            for letter, label in zip(letters, labels, strict=True):
                by_letter.setdefault(letter, []).append(label)
        result: dict[str, Label] = {}
        for letter, labels in by_letter.items():
            if letter in output:
                self.plain.extend(leaf for label in labels for leaf in leaf_labels(label) if isinstance(leaf, Atom))
                result[letter] = self.algebra.times(*labels) if len(labels) == 2 else labels[0]
            elif len(labels) == 2:
                self._cancel(*labels)
            else:
                self.freeze(*labels)
        return [resolve(result[letter]) for letter in output]

    def _cancel(self, x: Label, y: Label) -> None:
        """The dimensions that a contraction sums over."""
        x, y = resolve(x), resolve(y)
        marks = self.mark_of(x), self.mark_of(y)
        if marks[0] is not None and marks[1] is None and isinstance(y, Atom) and marks[0].square is None:
            dual = self.algebra.dual(y)
            assert isinstance(dual, Atom)
            self.algebra.marks[id(dual)] = marks[0]
            self.readings.append(Reading(marks[0], y, self._bias()))
        else:
            self.unmark(x, y)
            dual = self.algebra.dual(y)
        if x.size > 1:
            self.algebra.unify(x, dual)

    def _bias(self) -> int | None:
        """The bias that the call at work adds to its matrix product."""
        call = self.call
        if call is None or call.name not in ("addmm", "linear"):
            return None
        bias: TensorRef | None = call["self" if call.name == "addmm" else "bias"]
        if bias is None or len(bias.shape) != 1 or bias.shape[0] != call.output.shape[-1]:
            return None
        return bias.key if call.arguments.get("alpha", 1) == call.arguments.get("beta", 1) == 1 else None

    def zeroed(self, call: Call) -> tuple[Labels, ...]:
        """After an operator that says nothing of exponents: those of its operands are 0."""
        self.algebra.reason = call.name
        for ref in call.inputs:
            self.freeze(*self.get(ref))
        return tuple(
            [Fixed(size, call.name) if size > 1 else Uniform(size) for size in output.shape] for output in call.outputs
        )
