"""Exponents: how every dimension of every tensor of a trace answers to a rescaling of the units of a network.

Rescale each unit u of a group by a factor s_u. A tensor whose dimension carries the group then changes by s_u to some
power along that dimension: its exponent, the same for all units. What an operator demands of exponents are linear
equations: those that a contraction sums over must cancel, those of summands agree, those of factors add. A solution is
a freedom of the network. The same equations over other numbers describe other freedoms: modulo 2 they are about signs;
with 1 and -1 for a space and its dual, and all that is not linear forbidden, about invertible maps; and with inner
products of a vector with itself allowed, about rotations.

Labels of this pass have the trees of the permutation pass, with an atom of its own for every occurrence of a group in a
tensor: bound atoms have equal exponents, frozen ones the exponent 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from weightspace.symmetry.algebra import Algebra
from weightspace.symmetry.freedom.freedom import Kind
from weightspace.symmetry.freedom.system import LinearSystem, Number
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, Uniform, Varying, leaf_labels, resolve

KINDS: tuple[Kind, ...] = ("scale", "sign", "linear", "rotation")  # those that exponents describe
NONLINEAR: tuple[Kind, ...] = ("linear", "rotation")  # what an operator that works unit by unit rules out


class Zero(Uniform):
    """A uniform dimension of a tensor that is zero: it fits every exponent."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Mark:
    """What is special about the values of a dimension, as far as rotations are concerned.

    Attributes:
        scale: Tensor by which a normalised vector was multiplied: to be folded into what reads it.
        shift: Tensor that was added then: folded into the biases of what reads it, or turned with it.
        square: The atom whose squares these values are; nothing may be done with them but to sum them.
    """

    scale: int | None = None
    shift: int | None = None
    square: Atom | None = None


class Equations(Algebra):
    """The algebra of labels whose atoms stand for exponents, and what is demanded of these."""

    def __init__(self) -> None:
        super().__init__()
        self.systems = {kind: LinearSystem(modulo_2=kind in ("sign", "rotation")) for kind in KINDS}
        self.marks: dict[int, Mark] = {}
        self._numbers: dict[int, int] = {}
        self._numbered: list[Atom] = []  # kept alive, so that identities are never reused

    # ------------------------------------------------------------------ equations

    def number(self, atom: Atom) -> int:
        """The unknown that stands for the exponent of an atom."""
        if id(atom) not in self._numbers:
            self._numbers[id(atom)] = len(self._numbered)
            self._numbered.append(atom)
        return self._numbers[id(atom)]

    def equate(self, *terms: tuple[Atom, Number], kinds: Iterable[Kind] = KINDS) -> None:
        """Demands ``sum of coefficient * exponent = 0`` in the systems of some kinds."""
        numbered = [(self.number(atom), coefficient) for atom, coefficient in terms]
        for kind in kinds:
            self.systems[kind].equate(numbered)

    def rule_out(self, *labels: Label, kinds: Iterable[Kind]) -> None:
        """Demands that the exponents of labels are 0 in the systems of some kinds."""
        for label in labels:
            for leaf in leaf_labels(resolve(label)):
                if isinstance(leaf, Atom):
                    self.equate((leaf, 1), kinds=kinds)

    def spoil(self, atom: Atom) -> None:
        """Rules out rotations of a marked atom."""
        mark = self.marks.get(id(atom))
        if mark is not None:
            self.rule_out(atom, *([mark.square] if mark.square else []), kinds=("rotation",))

    def close(self) -> None:
        """Adds what bound and frozen atoms mean, once the pass is over."""
        for atom in list(self._numbered):
            found = resolve(atom)
            if found is atom:
                if atom.frozen is not None:
                    self.equate((atom, 1))
            elif isinstance(found, Atom):
                self.equate((atom, 1), (found, -1))
                if found.frozen is not None:
                    self.equate((found, 1))
            else:  # taken apart after all: what was said about the whole is not known of its parts
                self.equate((atom, 1))
                self.rule_out(found, kinds=KINDS)

    # ------------------------------------------------------------------ bringing labels together

    def fresh(self, label: Label) -> Label:
        """As in the base class; what does not depend on an index has the exponent 0 there, unless it is zero."""
        label = resolve(label)
        match label:
            case Zero() if label.size > 1:
                return Atom(label.size)
            case Uniform() if label.size > 1:
                return Atom(label.size, frozen=self.reason or "constant")
            case _:
                return super().fresh(label)

    def bind(self, atom: Atom, label: Label) -> Label:
        """As in the base class; values of different standing cannot be rotated together."""
        found = super().bind(atom, label)
        if found is not atom:
            leaves = [leaf for leaf in leaf_labels(resolve(found)) if isinstance(leaf, Atom)]
            if any(self.marks.get(id(leaf)) is not self.marks.get(id(atom)) for leaf in leaves):
                self.spoil(atom)
                self.rule_out(found, kinds=("rotation",))
        return found

    def join(self, x: Label, y: Label) -> Label:
        """As in the base class, but values that do not depend on an index have the exponent 0 there."""
        x, y = resolve(x), resolve(y)
        if x.size == y.size and x.size > 1:
            if isinstance(x, Zero) or isinstance(y, Zero):
                return y if isinstance(x, Zero) else x
            if isinstance(x, Uniform) and not isinstance(y, Uniform):
                return self.nonzero(self.freeze(y))
            if isinstance(y, Uniform) and not isinstance(x, Uniform):
                return self.nonzero(self.freeze(x))
        return super().join(x, y)

    def agree(self, labels: Sequence[Label]) -> Label:
        """The common exponents of summands along one dimension."""
        result = labels[0]
        for label in labels[1:]:
            result = self.unify(result, label)
        return resolve(result)

    # ------------------------------------------------------------------ labels that depend on more

    def nonzero(self, label: Label) -> Label:
        """The label of values that are zero no longer where those of the given label are."""
        return self._fixed_where(label, lambda part: isinstance(part, Zero))

    def varied(self, label: Label) -> Label:
        """The label of values that depend on an index which those of the given label do not depend on, unless zero."""
        return self._fixed_where(label, lambda part: isinstance(part, Uniform) and not isinstance(part, Zero))

    def _fixed_where(self, label: Label, chosen: Callable[[Label], bool]) -> Label:
        label = resolve(label)
        match label:
            case Product():
                return resolve(Product([self._fixed_where(factor, chosen) for factor in label.factors]))
            case Sum():
                return resolve(Sum([self._fixed_where(part, chosen) for part in label.parts], label.runs, label.case))
            case Varying():
                return Varying([self._fixed_where(choice, chosen) for choice in label.choices], label.case)
            case _:
                return Fixed(label.size, self.reason) if label.size > 1 and chosen(label) else label
