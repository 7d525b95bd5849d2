"""The algebra of labels: carve, split and unify, as the rules of operators need them.

Every operation keeps the derivation sound: it may only restrict the symmetry. What does not fit raises `MisfitError`
inside and ends with both sides frozen, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from weightspace.symmetry.axis import Run
from weightspace.symmetry.carve import MisfitError, Ranges, carve
from weightspace.symmetry.label import (
    Atom,
    Fixed,
    Label,
    Product,
    Site,
    Sum,
    Uniform,
    Varying,
    leaf_labels,
    resolve,
    side_by_side,
    sizes,
)

MOST_SEGMENTS = 16  # a factor that a view makes and that is taken apart into more is a spatial axis, no stack (QKV)


class Algebra:
    """Operations on labels during one derivation.

    Attributes:
        hints: Sites where a reshape must cut an atom into segments instead of making it one product, because an earlier
            pass saw the outer factor taken apart there.
        new_hints: Such sites found in this pass.
        reason: What the derivation is doing, recorded where something freezes.
    """

    def __init__(self, hints: frozenset[Site] = frozenset()) -> None:
        self.hints = hints
        self.new_hints: set[Site] = set()
        self.reason = ""
        self._cases = 0

    def new_case(self) -> int:
        """A fresh tie between a sum and its varying labels."""
        self._cases += 1
        return self._cases

    # ------------------------------------------------------------------ freezing and binding

    def freeze(self, label: Label, reason: str | None = None) -> Label:
        """Freezes every atom of a label; the first reason stays."""
        for leaf in leaf_labels(resolve(label)):
            if isinstance(leaf, Atom) and leaf.frozen is None:
                leaf.frozen = reason or self.reason
        return resolve(label)

    def dissolve(self, label: Label, reason: str) -> None:
        """Freezes every atom of a label and lets it forget which one it is, so that it hosts no inner permutation."""
        for leaf in leaf_labels(self.freeze(label, reason)):
            if isinstance(leaf, Atom):
                leaf.bound = Fixed(leaf.size, leaf.frozen or reason)

    def bind(self, atom: Atom, label: Label) -> Label:
        """Refines an atom to a tree wherever it occurs."""
        label = resolve(label)
        if label is atom:
            return atom
        if any(leaf is atom for leaf in leaf_labels(label)):
            raise MisfitError(f"an axis of {atom.size} indices occurs in {sizes(label)}")
        if isinstance(label, Atom):
            label.frozen = label.frozen or atom.frozen
            label.site = label.site or atom.site
        elif atom.frozen is not None:
            self.freeze(label, atom.frozen)
        atom.bound = label
        return label

    def fresh(self, label: Label) -> Label:
        """The label with every uniform stretch replaced by an atom: for storage that is written later."""
        label = resolve(label)
        match label:
            case Uniform() if label.size > 1:
                return Atom(label.size)
            case Product():
                return Product([self.fresh(factor) for factor in label.factors])
            case Sum():
                return Sum([self.fresh(part) for part in label.parts], label.runs, label.case)
            case Varying():
                return Varying([self.fresh(choice) for choice in label.choices], label.case)
            case _:
                return label

    # ------------------------------------------------------------------ taking labels apart

    def carve(self, label: Label, groups: Sequence[Ranges]) -> list[Label]:
        """Takes a label apart into several, see `weightspace.symmetry.carve.carve`."""
        return carve(label, groups)

    def split(self, label: Label, outer: int, site: int | None = None) -> tuple[Label, Label]:
        """Takes a label of n indices apart into an outer index of the given size and an inner one of n / outer.

        Raises:
            MisfitError: If the structure has no such outer index.
        """
        label = resolve(label)
        if outer == 1:
            return Uniform(1), label
        if outer == label.size:
            return label, Uniform(1)
        inner = label.size // outer
        match label:
            case Uniform():
                return Uniform(outer), Uniform(inner)
            case Fixed():
                return Fixed(outer, label.reason), Fixed(inner, label.reason)
            case Atom():
                return self._split_atom(label, outer, inner, site)
            case Product():
                return self._split_product(label, outer, site)
            case Sum():
                return self._split_sum(label, inner)
            case Varying():
                pairs = [self.split(choice, outer) for choice in label.choices]
                if any(isinstance(part, Varying) for _, part in pairs):
                    raise MisfitError(f"{sizes(label)} varies twice")
                return Varying([o for o, _ in pairs], label.case), Varying([i for _, i in pairs], label.case)

    def _split_atom(self, atom: Atom, outer: int, inner: int, site: int | None) -> tuple[Label, Label]:
        cuts = sorted(hint.start for hint in self.hints if (hint.call, hint.size) == (site, outer))
        # What stays in place needs no finer cut.
        place = None if site is None or atom.frozen is not None else Site(site, outer)
        segments = [
            (Atom(end - start, place and place._replace(start=start), atom.frozen), Atom(inner, frozen=atom.frozen))
            for start, end in pairwise((0, *(cuts if len(cuts) < MOST_SEGMENTS else ()), outer))
        ]
        atom.bound = resolve(side_by_side([Product(pair) for pair in segments]))
        return segments[0] if len(segments) == 1 else self.split(atom, outer)

    def _split_product(self, label: Product, outer: int, site: int | None) -> tuple[Label, Label]:
        front: list[Label] = []
        rest = list(label.factors)
        wanted = outer
        while wanted > 1:
            first = rest[0]
            if wanted % first.size == 0:
                front.append(rest.pop(0))
                wanted //= first.size
                continue
            common = wanted if first.size % wanted == 0 else math.gcd(first.size, wanted)
            if common == 1:
                raise MisfitError(f"{sizes(label)} has no outer index of size {outer}")
            taken, left = self.plain(self.split(first, common, site))
            front.append(taken)
            rest[0] = left
            wanted //= common
        return resolve(Product(front)), resolve(Product(rest))

    def _split_sum(self, label: Sum, inner: int) -> tuple[Label, Label]:
        if any(run.start % inner or run.length % inner for run in label.runs):
            raise MisfitError(f"{sizes(label)} has a part that is no multiple of {inner}")
        pairs = [self.plain(self.split(part, part.size // inner)) for part in label.parts]
        outers: list[Label] = [o if o.size > 1 else Fixed(1, "single") for o, _ in pairs]
        inners = [i for _, i in pairs]
        runs = [Run(run.part, run.start // inner, run.length // inner) for run in label.runs]
        if all(isinstance(part, (Fixed, Uniform)) for part in inners) and len({type(part) for part in inners}) == 1:
            return resolve(Sum(outers, runs)), inners[0]
        case = self.new_case()
        return Sum(outers, runs, case), Varying(inners, case)

    # ------------------------------------------------------------------ bringing labels together

    def unify(self, x: Label, y: Label) -> Label:
        """Makes two labels equal, and returns the merged label: use it, the arguments may be stale."""
        try:
            return self.join(x, y)
        except MisfitError as misfit:
            why = f"{self.reason}: {misfit}"
            for label, other in ((x, y), (y, x)):
                if x.size == y.size and not any(isinstance(leaf, Atom) for leaf in leaf_labels(resolve(other))):
                    return self.freeze(self.fresh(label), why)  # no index of it is one of another label
            self.dissolve(x, why)
            self.dissolve(y, why)
            return Fixed(x.size, why)

    def join(self, x: Label, y: Label) -> Label:
        """As `unify`, but raises `MisfitError` instead of freezing."""
        x, y = resolve(x), resolve(y)
        if x.size != y.size:
            raise MisfitError(f"{x.size} and {y.size} indices meet")
        if x is y or isinstance(y, Uniform):
            return x
        if isinstance(x, Uniform):
            return y
        if isinstance(x, Fixed):
            return self.freeze(self.fresh(y), x.reason)
        if isinstance(y, Fixed):
            return self.freeze(self.fresh(x), y.reason)
        if isinstance(x, Varying) or isinstance(y, Varying):
            raise MisfitError("a varying label meets another")
        if isinstance(x, Atom):
            return self.bind(x, y if isinstance(y, Atom) else self.fresh(y))
        if isinstance(y, Atom):
            return self.bind(y, self.fresh(x))
        if isinstance(x, Sum):
            return self._join_sum(x, y)
        if isinstance(y, Sum):
            return self._join_sum(y, x)
        return self._join_products(x, y)

    def _join_sum(self, x: Sum, y: Label) -> Label:
        position = 0
        where: list[list[tuple[int, int, int]]] = [[] for _ in x.parts]
        for run in x.runs:
            where[run.part].append((run.start, position, run.length))
            position += run.length
        pieces = self.carve(y, [[(at, length) for _, at, length in sorted(places)] for places in where])
        return resolve(Sum([self.join(part, piece) for part, piece in zip(x.parts, pieces, strict=True)], x.runs))

    def _join_products(self, x: Product, y: Product) -> Label:
        a, b = x.factors[0].size, y.factors[0].size
        common = math.gcd(a, b)
        if common == 1:
            raise MisfitError(f"products with outer sizes {a} and {b} meet")
        x_outer, x_inner = self.plain(self.split(x, common))
        y_outer, y_inner = self.plain(self.split(y, common))
        return resolve(Product((self.join(x_outer, y_outer), self.join(x_inner, y_inner))))

    def plain(self, labels: Sequence[Label]) -> list[Label]:
        """Labels without varying ones: those are collapsed by making all their choices equal."""
        collapsed: list[Label] = []
        for label in labels:
            if isinstance(label, Varying):
                merged = label.choices[0]
                for choice in label.choices[1:]:
                    merged = self.unify(merged, choice)
                collapsed.append(merged)
            elif isinstance(label, Sum) and label.case is not None:
                collapsed.append(Sum(label.parts, label.runs))
            else:
                collapsed.append(label)
        return [resolve(label) for label in collapsed]
