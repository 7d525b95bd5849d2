"""Where the atoms of a derivation lie in the blocks of tensors."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom.context import ExponentContext, Occurrence
from weightspace.symmetry.label import Atom, Label, Product, Sum, resolve


class Layout:
    """Blocks and dimensions of the atoms of parameters, computed where asked for."""

    def __init__(self, context: Context, found: ExponentContext) -> None:
        self.found = found
        self._context = context
        self._places: dict[str, Mapping[tuple[int, int], list[tuple[int, int]]]] = {}
        self._occurrences: dict[str, list[Occurrence]] = defaultdict(list)
        for occurrence in found.occurrences:
            self._occurrences[occurrence.tensor].append(occurrence)

    def labels(self, tensor: str) -> list[Label]:
        """The labels of a tensor after the permutation pass."""
        key = self.found.trace.tensors[tensor].key
        return [resolve(label) for label in self._context.algebra.plain(self._context.labels[key])]

    def places(self, occurrence: Occurrence) -> list[tuple[int, int]]:
        """(block, dimension) pairs at which an atom of an axis lies."""
        name = occurrence.tensor
        if name not in self._places:
            self._places[name] = _places_of(self.labels(name))
        return self._places[name][occurrence.axis, occurrence.number]

    def beside(self, occurrence: Occurrence, unit: Atom) -> list[Occurrence]:
        """The occurrences of another atom in the first block in which an atom lies."""
        block, _ = self.places(occurrence)[0]
        return [
            other
            for other in self._occurrences[occurrence.tensor]
            if other.unit is unit and any(b == block for b, _ in self.places(other))
        ]


def named_axis(label: Label, names: Mapping[Atom, str]) -> Axis:
    """The axis of a label, with the atoms that have no name in place."""
    match label:
        case Atom() if label in names:
            return GroupAxis(names[label], label.size)
        case Product():
            return ProductAxis(tuple(named_axis(factor, names) for factor in label.factors))
        case Sum():
            return SumAxis(tuple(named_axis(part, names) for part in label.parts), label.runs)
        case _:
            return FixedAxis(label.size, "ordered")


def _places_of(labels: list[Label]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(block, dimension) pairs of every atom, by axis and number among the atoms of the axis."""
    pieces = []
    for axis, label in enumerate(labels):
        pieces.append(axis_pieces(_numbered(label, axis, itertools.count())))
    places: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    block = 0
    for combination in itertools.product(*pieces):
        if math.prod(piece.index.numel() for piece in combination) == 0:
            continue
        keys = [key for piece in combination for key in piece.groups]
        for dim, key in enumerate(keys):
            if key is not None:
                axis, number = map(int, key.split(","))
                places[axis, number].append((block, dim))
        block += 1
    return places


def _numbered(label: Label, axis: int, numbers: Iterator[int]) -> Axis:
    """The axis of a label, with every atom under its number among the atoms of the axis."""
    match label:
        case Atom():
            return GroupAxis(f"{axis},{next(numbers)}", label.size)
        case Product():
            return ProductAxis(tuple(_numbered(factor, axis, numbers) for factor in label.factors))
        case Sum():
            return SumAxis(tuple(_numbered(part, axis, numbers) for part in label.parts), label.runs)
        case _:
            return FixedAxis(label.size, "ordered")
