"""Labels of tensor dimensions while a spec is derived: trees over atoms that are joined, split and refined as we go.

While `axis` describes a finished spec, labels are what the derivation works on. A dimension is labelled by one tree:

* ``Atom(n)``: n indices that one permutation acts on. Binding an atom to a tree refines it wherever it occurs.
* ``Fixed(n)``: indices that must stay in place, with the reason. A *frozen* atom stays too but keeps its identity.
* ``Uniform(n)``: the values do not depend on this index (expanded, zeros), so any permutation goes.
* ``Product``: outer x ... x inner, mixed radix.
* ``Sum``: parts side by side, possibly scattered (see `weightspace.symmetry.axis.SumAxis`).
* ``Varying``: transient; a dimension whose label depends on which part of the sum with the same ``case`` one is in, as
  after ``view(B, N, 3, heads, d)`` of a fused QKV.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from weightspace.symmetry.axis import Run, all_reasons


class Site(NamedTuple):
    """Where an outer factor that a reshape made of an atom is, or is to be, cut.

    Attributes:
        call: Number of the reshape.
        size: Of the factor.
        start: The index of the factor that an atom begins with.
    """

    call: int
    size: int
    start: int = 0


class Atom:
    """A set of interchangeable indices, until it is bound to a finer tree or frozen."""

    __slots__ = ("bound", "frozen", "site", "size")

    def __init__(self, size: int, site: Site | None = None, frozen: str | None = None) -> None:
        self.size = size
        self.site = site
        self.frozen = frozen
        self.bound: Label | None = None

    def __repr__(self) -> str:
        return f"{'frozen' if self.frozen else 'atom'}{id(self) % 9973}:{self.size}"


class Fixed:
    """Indices that stay in place."""

    __slots__ = ("reason", "size")

    def __init__(self, size: int, reason: str) -> None:
        self.size = size
        self.reason = reason

    def __repr__(self) -> str:
        return f"fixed:{self.size}"


class Uniform:
    """Indices on which the values do not depend."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def __repr__(self) -> str:
        return f"uniform:{self.size}"


class Product:
    """Mixed-radix product, the outermost factor first."""

    __slots__ = ("factors", "size")

    def __init__(self, factors: Iterable[Label]) -> None:
        self.factors = tuple(factors)
        self.size = math.prod(factor.size for factor in self.factors)

    def __repr__(self) -> str:
        return f"({' x '.join(map(repr, self.factors))})"


class Sum:
    """Parts side by side; ``case`` ties it to the `Varying` labels of the same tensor."""

    __slots__ = ("case", "parts", "runs", "size")

    def __init__(self, parts: Iterable[Label], runs: Iterable[Run], case: int | None = None) -> None:
        self.parts = tuple(parts)
        self.runs = tuple(runs)
        self.case = case
        self.size = sum(run.length for run in self.runs)

    def __repr__(self) -> str:
        return "[" + " + ".join(f"{self.parts[r.part]!r}@{r.start}:{r.length}" for r in self.runs) + "]"


class Varying:
    """One label per part of the sum with the same case."""

    __slots__ = ("case", "choices", "size")

    def __init__(self, choices: Iterable[Label], case: int) -> None:
        self.choices = tuple(choices)
        self.case = case
        self.size = self.choices[0].size

    def __repr__(self) -> str:
        return "{" + " | ".join(map(repr, self.choices)) + "}"


Label: TypeAlias = Atom | Fixed | Uniform | Product | Sum | Varying
Labels: TypeAlias = list[Label]  # one label per dimension of a tensor


def side_by_side(parts: Sequence[Label], case: int | None = None) -> Sum:
    """An ordinary concatenation: one run per part."""
    return Sum(parts, [Run(number, 0, part.size) for number, part in enumerate(parts)], case)


def resolve(label: Label) -> Label:
    """The normal form of a label as it stands now: bound atoms replaced, nested products and sums flattened."""
    match label:
        case Atom():
            if label.bound is None:
                return label
            label.bound = resolve(label.bound)
            return label.bound
        case Product():
            return _resolve_product(label)
        case Sum():
            if label.case is not None:
                return Sum([resolve(part) for part in label.parts], label.runs, label.case)
            return _resolve_sum(label)
        case Varying():
            return Varying([resolve(choice) for choice in label.choices], label.case)
        case _:
            return label


def _resolve_product(label: Product) -> Label:
    flat: list[Label] = []
    for factor in label.factors:
        factor = resolve(factor)
        for item in factor.factors if isinstance(factor, Product) else (factor,):
            last = flat[-1] if flat else None
            if item.size == 1:
                continue
            if isinstance(item, Fixed) and isinstance(last, Fixed):
                flat[-1] = Fixed(last.size * item.size, all_reasons(last.reason, item.reason))
            elif isinstance(item, Uniform) and isinstance(last, Uniform):
                flat[-1] = Uniform(last.size * item.size)
            else:
                flat.append(item)
    if not flat:
        return Uniform(1)
    return flat[0] if len(flat) == 1 else Product(flat)


def _resolve_sum(label: Sum) -> Label:
    parts: list[Label] = []
    runs: list[Run] = []
    numbers: dict[tuple[int, int], int] = {}  # (part, part of the part) -> number in the flattened sum

    def place(key: tuple[int, int], part: Label, start: int, length: int) -> None:
        last = runs[-1] if runs else None
        if isinstance(part, Fixed):
            before = parts[last.part] if last else None
            if last is not None and isinstance(before, Fixed):
                parts[last.part] = Fixed(last.length + length, all_reasons(before.reason, part.reason))
                runs[-1] = Run(last.part, 0, last.length + length)
            else:
                parts.append(Fixed(length, part.reason))
                runs.append(Run(len(parts) - 1, 0, length))
            return
        if key not in numbers:
            numbers[key] = len(parts)
            parts.append(part)
        if last is not None and last.part == numbers[key] and last.start + last.length == start:
            runs[-1] = Run(last.part, last.start, last.length + length)
        else:
            runs.append(Run(numbers[key], start, length))

    resolved = [resolve(part) for part in label.parts]
    for run in label.runs:
        part = resolved[run.part]
        if isinstance(part, Sum):
            for inner in window(part.runs, run.start, run.length):
                place((run.part, inner.part), part.parts[inner.part], inner.start, inner.length)
        elif run.length:
            place((run.part, -1), part, run.start, run.length)
    if not runs:
        return Uniform(0)
    return parts[runs[0].part] if len(runs) == 1 else Sum(parts, runs)


def window(runs: Iterable[Run], start: int, length: int) -> Iterator[Run]:
    """The runs that cover positions [start, start + length) of a sum, cut to it."""
    position = 0
    for run in runs:
        low, high = max(start, position), min(start + length, position + run.length)
        if low < high:
            yield Run(run.part, run.start + low - position, high - low)
        position += run.length


def leaf_labels(label: Label) -> Iterator[Atom | Fixed | Uniform]:
    """Yields the leaves of a resolved label."""
    match label:
        case Product():
            for factor in label.factors:
                yield from leaf_labels(factor)
        case Sum():
            for part in label.parts:
                yield from leaf_labels(part)
        case Varying():
            for choice in label.choices:
                yield from leaf_labels(choice)
        case _:
            yield label


def sizes(label: Label) -> str:
    """The tree of a label by its sizes alone, for people."""
    match resolve(label):
        case Product(factors=factors):
            return " x ".join(f"({sizes(factor)})" if isinstance(factor, Sum) else sizes(factor) for factor in factors)
        case Sum(parts=parts, runs=runs):
            return " + ".join(
                str(run.length) if run.length < parts[run.part].size else sizes(parts[run.part]) for run in runs
            )
        case Varying(choices=choices):
            return " or ".join(map(sizes, choices))
        case other:
            return str(other.size)


def structure(label: Label) -> Any:
    """A key that two labels share if and only if the same atoms stand at the same places of like trees."""
    match resolve(label):
        case Atom() as atom:
            return id(atom)
        case Product(factors=factors):
            return ("x", *(structure(factor) for factor in factors))
        case Sum(parts=parts, runs=runs, case=case):
            return ("+", case, runs, *(structure(part) for part in parts))
        case Varying(choices=choices, case=case):
            return ("|", case, *(structure(choice) for choice in choices))
        case Fixed(size=size):
            return ("fixed", size)
        case Uniform(size=size):
            return ("uniform", size)


def factors(label: Label) -> tuple[Label, ...]:
    """The factors of a product; any other label is its own."""
    return label.factors if isinstance(label, Product) else (label,)


def cases(labels: Labels) -> list[Labels]:
    """The labels of a tensor with varying ones, once for each part of the sum that they depend on."""
    labels = [resolve(label) for label in labels]
    case = next((label.case for label in labels if isinstance(label, Sum) and label.case is not None), None)
    if case is None:
        return [labels]
    whole = next(label for label in labels if isinstance(label, Sum) and label.case == case)
    found: list[Labels] = []
    for number, part in enumerate(whole.parts):
        one: Labels = []
        for label in labels:
            if label is whole:
                one.append(resolve(part))
            elif isinstance(label, Varying) and label.case == case:
                one.append(resolve(label.choices[number]))
            else:
                one.append(label)
        found.extend(cases(one))
    return found
