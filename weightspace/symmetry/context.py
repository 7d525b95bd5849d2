"""The context that rules work in: the labels of all tensors, and what the rules note on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.label import Fixed, Label, Labels, Uniform, resolve
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
    statistics: set[int] = field(default_factory=set)
    uncovered: dict[str, Uncovered] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    site: int = 0

    def get(self, ref: TensorRef, *, varying: bool = False) -> Labels:
        """Labels of a tensor, one per dimension; varying ones are collapsed unless asked for."""
        self.used.add(ref.key)
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
        where = f" at {call.place}" if call.place else ""
        for ref in call.inputs:
            self.freeze(*self.get(ref), why=f"no rule for {call.op}{where}")
        return tuple([self.fixed(size) for size in ref.shape] for ref in call.outputs)

    def set(self, ref: TensorRef, labels: Labels) -> None:
        """Labels a tensor."""
        if ref.storage in self.written:
            # A later write through a view must reach this label too, so nothing in it may be uniform.
            labels = [self.algebra.fresh(label) for label in labels]
        self.labels[ref.key] = labels

    def _constant(self, ref: TensorRef) -> Labels:
        varies = self.trace.constants.get(ref.key, tuple(True for _ in ref.shape))
        labels: Labels = [
            Fixed(size, "constant") if varying and size > 1 else Uniform(size)
            for size, varying in zip(ref.shape, varies, strict=True)
        ]
        return [self.algebra.fresh(label) for label in labels] if ref.storage in self.written else labels
