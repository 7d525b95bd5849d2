"""Valid partitions of the dimensions of a block: which of its indices are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from weightspace.nn.unf.layout import LabelledDim


@dataclass(frozen=True, slots=True)
class Part:
    """Indices that are equal.

    Attributes:
        dims: Their positions, ascending.
        label: What permutes them.
        size: Number of values that they take.
        outer: The parts that hold their outer indices, by position in the partition.
    """

    dims: tuple[int, ...]
    label: str
    size: int
    outer: tuple[int, ...]


Partition = tuple[Part, ...]


def valid_partitions(dims: Sequence[LabelledDim]) -> list[Partition]:
    """The partitions of dimensions that a symmetry permits, parts in the order of their first dimension.

    The dimensions of a part share one label (Zhou et al. 2024); where the permutation of an index differs
    for every index of outer dimensions, they share a part only if their outer dimensions do: indices of two heads have
    nothing in common. Partitions with more different indices than there are, for tiny groups, are left out. The number
    of the others is the number of orbits of the group on the entries of the block.
    """
    # Outer dimensions first: they depend on fewer.
    order = sorted(range(len(dims)), key=lambda place: len(dims[place].outer))
    found = [_parts(dims, part_of) for part_of in _assignments(dims, order, {})]
    return sorted(found, key=lambda partition: tuple(part.dims for part in partition))


def fits(parts: Iterable[tuple[str, int, tuple[Hashable, ...]]]) -> bool:
    """Whether the indices of parts can all be different: (label, size, outer parts) each."""
    needed = Counter(parts)
    return all(count <= size for (_, size, _), count in needed.items())


def _assignments(
    dims: Sequence[LabelledDim], order: Sequence[int], part_of: dict[int, int]
) -> Iterator[dict[int, int]]:
    """Part numbers by dimension."""
    if len(part_of) == len(order):
        yield dict(part_of)
        return
    place = order[len(part_of)]
    key = _key(dims, place, part_of)
    alike = dict.fromkeys(part_of[other] for other in part_of if _key(dims, other, part_of) == key)
    choices = list(alike)
    if len(alike) < dims[place].size:
        choices.append(1 + max(part_of.values(), default=-1))
    for choice in choices:
        part_of[place] = choice
        yield from _assignments(dims, order, part_of)
        del part_of[place]


def _key(dims: Sequence[LabelledDim], place: int, part_of: dict[int, int]) -> tuple[str, tuple[int, ...]]:
    return dims[place].label, tuple(part_of[outer] for outer in dims[place].outer)


def _parts(dims: Sequence[LabelledDim], part_of: dict[int, int]) -> Partition:
    members: dict[int, list[int]] = {}
    for place in range(len(dims)):
        members.setdefault(part_of[place], []).append(place)
    number = {part: position for position, part in enumerate(members)}
    return tuple(
        Part(
            tuple(places),
            dims[places[0]].label,
            dims[places[0]].size,
            tuple(number[part_of[outer]] for outer in dims[places[0]].outer),
        )
        for places in members.values()
    )
