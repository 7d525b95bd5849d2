"""Exponents of what operators make of values: products, powers, squares, scaled and shifted vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weightspace.symmetry.freedom.equations import NONLINEAR, Equations, Mark
from weightspace.symmetry.freedom.freedom import Kind
from weightspace.symmetry.freedom.system import Number
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Sum, Uniform, Varying, resolve


@dataclass(frozen=True, eq=False)
class Shift:
    """A shift that was added to a scaled vector: what a rotation makes of it depends on what reads the sum."""

    mark: Mark
    sum: Atom
    shift: Atom


class ExponentAlgebra(Equations):
    """The algebra of exponents, with those of results in terms of those of operands.

    Attributes:
        shifts: The shifts of normalised vectors, of which nothing is demanded under rotations yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shifts: list[Shift] = []

    def copied(self, label: Label, *, thaw: bool = False) -> tuple[Label, list[tuple[Atom, Atom]]]:
        """A label of the same structure with new atoms, and the (new, old) pairs; frozen atoms stay unless thawed."""
        pairs: list[tuple[Atom, Atom]] = []

        def copy(part: Label) -> Label:
            match part:
                case Atom():
                    if part.frozen is not None and not thaw:
                        return part
                    pairs.append((Atom(part.size), part))
                    return pairs[-1][0]
                case Product():
                    return Product([copy(factor) for factor in part.factors])
                case Sum():
                    return Sum([copy(piece) for piece in part.parts], part.runs, part.case)
                case Varying():
                    return Varying([copy(choice) for choice in part.choices], part.case)
                case _:
                    return part

        return copy(resolve(label)), pairs

    def dual(self, label: Label) -> Label:
        """A label whose exponents cancel those of the given one."""
        new, pairs = self.copied(label)
        for fresh, old in pairs:
            self.equate((fresh, 1), (old, 1))
        return new

    def times(self, x: Label, y: Label, *, power: int = 1, ruled_out: Sequence[Kind] = NONLINEAR) -> Label:
        """Exponents of a product of two tensors (with ``power=-1`` a quotient) along one dimension."""
        x, y = resolve(x), resolve(y)
        if isinstance(y, Uniform):
            return x
        if isinstance(x, Uniform) and power == 1:
            return y
        self.rule_out(x, y, kinds=ruled_out)
        if isinstance(y, Fixed):
            return self.varied(x)
        if isinstance(x, (Uniform, Fixed)):
            return self.powered(y, power)
        product, products = self.copied(x)
        factor, factors = self.copied(x)  # what the second factor must be, given the result
        for (result, old), (other, _) in zip(products, factors, strict=True):
            self.equate((result, 1), (old, -1), (other, -power), kinds=("scale", "sign"))
            self.equate((result, 1), kinds=ruled_out)
            self.equate((other, 1), kinds=ruled_out)
        self.unify(factor, y)
        return self.varied(product)

    def powered(self, label: Label, exponent: Number) -> Label:
        """Exponents of a power of a tensor."""
        self.rule_out(label, kinds=NONLINEAR)
        new, pairs = self.copied(label)
        for fresh, old in pairs:
            self.equate((fresh, 1), (old, -exponent), kinds=("scale",))
            self.equate((fresh, 1), kinds=NONLINEAR)
            if exponent.denominator == 1:
                self.equate((fresh, 1), (old, -exponent.numerator), kinds=("sign",))
            else:
                self.equate((fresh, 1), kinds=("sign",))
                self.equate((old, 1), kinds=("sign",))
        return new if exponent > 0 else self.nonzero(new)

    def unsigned(self, label: Label) -> Label:
        """Exponents of the sizes of values."""
        new, pairs = self.copied(label)
        for fresh, old in pairs:
            self.equate((fresh, 1), (old, -1), kinds=("scale",))
            self.equate((fresh, 1), kinds=("sign", *NONLINEAR))
        return new

    def squared(self, atom: Atom) -> Atom:
        """Exponents of the square of a vector, which a rotation keeps once it is summed."""
        square = Atom(atom.size)
        self.equate((square, 1), (atom, -2), kinds=("scale",))
        self.equate((square, 1), kinds=("sign", "linear"))
        self.equate((atom, 1), kinds=("linear",))
        self.equate((square, 1), (atom, -1), kinds=("rotation",))  # what stops one stops the other
        self.marks[id(square)] = Mark(square=atom)
        return square

    def scaled(self, vector: Atom, scale: Label, mark: Mark) -> Atom:
        """Exponents of a normalised vector times a parameter that can be folded into what reads the product."""
        self.rule_out(scale, kinds=("rotation",))
        product = self.times(vector, scale, ruled_out=("linear",))
        assert isinstance(product, Atom)
        self.equate((product, 1), (vector, -1), kinds=("rotation",))
        self.marks[id(product)] = mark
        return product

    def shifted(self, product: Atom, shift: Label, mark: Mark) -> None:
        """Demands that a shift goes with a scaled vector; what a rotation makes of it is left open."""
        shift = resolve(shift)
        if isinstance(shift, Atom):
            self.equate((product, 1), (shift, -1), kinds=("scale", "sign"))
            self.equate((shift, 1), kinds=("linear",))
            self.shifts.append(Shift(mark, product, shift))
        else:
            self.freeze(product)
            self.freeze(shift)
