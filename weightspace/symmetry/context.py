"""The context that rules work in: the labels of all tensors, and what the rules note on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.choice import Choice, Mark, Values, with_choices, within
from weightspace.symmetry.label import Atom, Fixed, Label, Labels, Product, Uniform, resolve
from weightspace.symmetry.trace import Trace
from weightspace.symmetry.uncovered import Uncovered


@dataclass
class Context:
    """Labels of all tensors of a trace, and what the rules noted on the way.

    Attributes:
        algebra: The operations on labels.
        labels: Labels by tensor key.
        spaces: Iteration spaces of contractions and of operations that mix along a dimension: the dimensions over which
            terms are formed. They decide which inner groups are independent per outer index.
        space_marks: The choices that hold in each of the spaces.
        values: For integer tensors whose entries are indices of an axis: which axis.
        marks: The choices that tensors carry.
        carried: The choices that the outputs of the call at work get from its operands.
        makers: The call that made a tensor, for those that were met already.
        sources: What the values of the tensors met so far come from: "input", "weights", or neither: "spatial", as the
            numbers of positions.
        statistics: Keys of tensors that a normalisation layer uses as running statistics.
        uncovered: Operators without a rule, by name.
        written: Storages that some operator writes in place.
        used: Keys of tensors that some operator reads.
        site: Number of the call at work.
    """

    trace: Trace
    algebra: Algebra
    labels: dict[int, Labels] = field(default_factory=dict)
    spaces: list[Labels] = field(default_factory=list)
    space_marks: list[tuple[Mark, ...]] = field(default_factory=list)
    values: dict[int, Values] = field(default_factory=dict)
    marks: dict[int, tuple[Mark, ...]] = field(default_factory=dict)
    carried: tuple[Mark, ...] = ()
    makers: dict[int, Call] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    statistics: set[int] = field(default_factory=set)
    uncovered: dict[str, Uncovered] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    site: int = 0

    def get(self, ref: TensorRef, *, varying: bool = False, valued: bool = False) -> Labels:
        """Labels of a tensor, one per dimension.

        Args:
            ref: The tensor.
            varying: Keep varying labels; else they are collapsed.
            valued: The rule takes entries that are indices of an axis for such; else that axis must stay in place.
        """
        self.used.add(ref.key)
        if not valued and ref.key in self.values:
            self.freeze(self.values[ref.key].label, why=self._why_read(ref))
        if ref.key not in self.labels:
            self.labels[ref.key] = self._constant(ref)
        labels = self.labels[ref.key]
        return [resolve(label) for label in labels] if varying else self.algebra.plain(labels)

    def unify(self, x: Label, y: Label) -> Label:
        """Makes two labels equal; returns the merged one."""
        return self.algebra.unify(x, y)

    def freeze(self, *labels: Label, why: str | None = None) -> None:
        """Freezes labels, by default with the name of the operator as the reason."""
        for label in labels:
            self.algebra.freeze(label, why)

    def broadcast(self, tensors: Sequence[Labels], shape: Sequence[int]) -> Labels:
        """Labels of a result to which tensors are broadcast: dimension by dimension the labels are made equal."""
        result: Labels = [Uniform(size) for size in shape]
        for labels in tensors:
            offset = len(shape) - len(labels)
            for dim, label in enumerate(labels):
                if label.size != 1:
                    result[offset + dim] = self.unify(result[offset + dim], label)
        return result

    def einsum(self, equation: str, *tensors: Labels) -> Labels:
        """Labels of an einsum: dimensions with one letter are made equal, and the iteration space is noted.

        Args:
            equation: As in `torch.einsum`, with an output.
            tensors: Labels of the operands.
        """
        inputs, output = equation.split("->")
        by_letter: dict[str, Label] = {}
        for letters, labels in zip(inputs.split(","), tensors, strict=True):
            for letter, label in zip(letters, labels, strict=True):
                by_letter[letter] = self.unify(by_letter.get(letter, Uniform(label.size)), label)
        by_letter = {letter: resolve(label) for letter, label in by_letter.items()}
        self.contract(list(by_letter.values()))
        return [by_letter[letter] for letter in output]

    def contract(self, space: Labels) -> None:
        """Notes the iteration space of an operation that sums or mixes over some dimensions."""
        self.spaces.append(space)
        self.space_marks.append(self.carried)

    def carry(self, *refs: TensorRef) -> None:
        """Lets the outputs, and the spaces noted from now on, carry the choices of some operands.

        Only for operators whose entries depend on entries of the operands that agree in all indices that they share.
        """
        chosen = {ref.key: [mark.choice for mark in self.marks.get(ref.key, ())] for ref in refs}
        self.carried = tuple(
            Mark(
                choice,
                tuple(self.get(ref, varying=True, valued=True) for ref in refs if choice not in chosen[ref.key]),
            )
            for choice in dict.fromkeys(choice for choices in chosen.values() for choice in choices)
        )

    def source(self, refs: Iterable[TensorRef]) -> str:
        """What values that are made from some tensors come from, see `sources`."""
        known = self.trace.constants
        found = {self.sources.get(ref.key, "spatial" if ref.key in known else "weights") for ref in refs}
        return "weights" if "weights" in found else "input" if "input" in found else "spatial"

    def why_indexed(self, index: TensorRef) -> str:
        """The reason for which an axis stays in place that is looked into by some numbers."""
        source = self.source([index])
        return "index" if source == "weights" else source

    def _why_read(self, ref: TensorRef) -> str:
        """The reason for which an axis stays in place whose numbers an operator takes as they are."""
        if self.algebra.reason in ("input", "spatial"):
            return self.algebra.reason
        return f"{self.algebra.reason} of index numbers" if self.source([ref]) == "weights" else "constant"

    def assign(self, ref: TensorRef, values: Values | None) -> None:
        """Says that the entries of an integer tensor are indices of an axis."""
        if values is None:
            self.values.pop(ref.key, None)
        elif ref.storage in self.written:  # a later write would change the numbers
            self.freeze(values.label, why=f"{self.algebra.reason}: index numbers are overwritten")
        else:
            self.values[ref.key] = values

    def numbers(self, ref: TensorRef) -> Values | None:
        """The axis of which the entries of a tensor are indices, for a rule that looks something up by them."""
        values = self.values.get(ref.key)
        if values is not None and values.tied:
            self.freeze(values.label, why="equal entries are taken in their order")
        return values

    def choose(self, numbers: Sequence[tuple[Values, Labels]]) -> None:
        """Lets the outputs carry what was chosen by some numbers, given with the labels of their dimensions."""
        self.carried = tuple(Mark(Choice(values.origin, values.label, tuple(places))) for values, places in numbers)

    def identified(self, label: Label) -> Label:
        """The label with ordered stretches replaced by frozen atoms, which can be recognised elsewhere."""
        label = resolve(label)
        match label:
            case Fixed():
                return Atom(label.size, frozen=label.reason)
            case Product():
                return Product([self.identified(factor) for factor in label.factors])
            case _:
                return label

    def extended(self) -> Iterator[Labels]:
        """Labels of all tensors and spaces, with the axes of their numbers and choices as further dimensions."""
        for key, labels in self.labels.items():
            extra = [resolve(self.values[key].label)] if key in self.values else []
            yield [*with_choices(labels, self.marks.get(key, ())), *extra]
        for space, marks in zip(self.spaces, self.space_marks, strict=True):
            yield with_choices(space, marks)

    def fixed(self, size: int, origin: Label | None = None) -> Label:
        """The label of a dimension whose indices the operator distinguishes.

        Args:
            size: Number of indices.
            origin: The dimension that it comes from: positions of the input stay positions of the input.
        """
        if size <= 1:
            return Uniform(size)
        return Fixed(size, origin.reason if isinstance(origin, Fixed) else self.algebra.reason)

    def unknown(self, call: Call) -> tuple[Labels, ...]:
        """Labels after an operator that no rule understands: everything it touches is frozen, by name and line."""
        known = self.uncovered.get(str(call.op), Uncovered(str(call.op), 0, call.place))
        self.uncovered[str(call.op)] = replace(known, calls=known.calls + 1)
        self.algebra.reason = f"no rule for {call.op}{call.where}"
        for ref in call.inputs:
            self.freeze(*self.get(ref))
        return tuple([self.fixed(size) for size in ref.shape] for ref in call.outputs)

    def set(self, ref: TensorRef, labels: Labels) -> None:
        """Labels a tensor that the call at work made or wrote."""
        if ref.storage in self.written:
            # A later write through a view must reach this label too, so nothing in it may be uniform.
            labels = [self.algebra.fresh(label) for label in labels]
        self.labels[ref.key] = labels
        self.marks[ref.key] = within(labels, self.carried)

    def _constant(self, ref: TensorRef) -> Labels:
        varies = self.trace.constants.get(ref.key, tuple(True for _ in ref.shape))
        labels: Labels = [
            Fixed(size, "constant") if varying and size > 1 else Uniform(size)
            for size, varying in zip(ref.shape, varies, strict=True)
        ]
        return [self.algebra.fresh(label) for label in labels] if ref.storage in self.written else labels
