"""The equivariant linear maps between the features of all blocks, grouped by the indices that they keep.

A basis map is a valid partition of the dimensions of an output block and an input block (Zhou et al. 2024): take the
diagonal where input indices are equal, the mean over those that the output does not have, write the result to the
output's diagonal, and repeat it along those that the input does not have. What lies between is a tensor whose indices
are the parts that hold dimensions of both blocks: its signature. A map is so a *read*, from an input block to its
signature, followed by a *write*, from there to an output block; and every read of a signature goes with every write.
All maps of one signature are therefore one matrix between stacked reads and stacked writes: a mixing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from weightspace.nn.unf.layout import LabelledDim
from weightspace.nn.unf.partition import Partition, fits, valid_partitions

_Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A read or a write.

    Attributes:
        block: Which block.
        partition: Which of its indices are equal.
        slots: The parts that are indices of the signature, in its order. For a read the others are averaged, for a
            write repeated.
    """

    block: int
    partition: Partition
    slots: tuple[int, ...]

    @property
    def full(self) -> bool:
        """Whether nothing is equal, averaged or repeated."""
        dims = sum(len(part.dims) for part in self.partition)
        return len(self.slots) == dims

    def arranged_for(self, write: Term) -> Term:
        """This read with its indices in the order in which a write has them in its block."""
        order = sorted(range(len(write.slots)), key=write.slots.__getitem__)
        return Term(self.block, self.partition, tuple(self.slots[slot] for slot in order))


@dataclass(frozen=True, slots=True)
class Mixing:
    """All basis maps of one signature: every read goes with every write."""

    reads: tuple[Term, ...]
    writes: tuple[Term, ...]

    @property
    def slots(self) -> int:
        """Number of indices of the signature."""
        return len(self.writes[0].slots)

    @property
    def full(self) -> bool:
        """Whether all that is written fills its block."""
        return all(write.full for write in self.writes)


def mixings_of(features: Sequence[tuple[LabelledDim, ...]]) -> list[Mixing]:
    """The basis of all equivariant linear maps from a list of features to a list of the same form.

    Maps are linearly independent and span all there are: as many as the group has orbits on pairs of an output and an
    input entry. Where a group has fewer indices than a partition has parts, a write goes only with some reads, and a
    signature has several mixings.

    Args:
        features: The labelled dimensions of every block.

    Returns:
        Mixings by number of indices, those without any first: these hold every way to write a constant, also where no
        read goes with it.
    """
    reads: dict[_Key, list[Term]] = {}
    writes: dict[_Key, list[Term]] = {}
    for block, dims in enumerate(features):
        for partition in valid_partitions(dims):
            for kept in _closed_subsets(partition):
                key, orders = _arrangements(partition, kept)
                writes.setdefault(key, []).append(Term(block, partition, orders[0]))
                reads.setdefault(key, []).extend(Term(block, partition, order) for order in orders)
    tight = _tight(features)
    mixings = [
        _laid_out(Mixing(chosen, tuple(group)))
        for key in reads
        for chosen, group in _complete(reads[key], writes[key], tight).items()
    ]
    return sorted(mixings, key=lambda mixing: mixing.slots)


def _complete(
    reads: Sequence[Term], writes: Sequence[Term], tight: frozenset[str]
) -> dict[tuple[Term, ...], list[Term]]:
    """Writes by the reads that they go with."""
    groups: dict[tuple[Term, ...], list[Term]] = {}
    for write in writes:
        chosen = tuple(read for read in reads if _is_possible(write, read, tight))
        if chosen or not write.slots:
            groups.setdefault(chosen, []).append(write)
    return groups


def _is_possible(write: Term, read: Term, tight: frozenset[str]) -> bool:
    """Whether the partition of the dimensions of both blocks needs no more different indices than there are."""
    if not any(part.label in tight for part in write.partition):
        return True
    parts: dict[Hashable, tuple[str, int, tuple[Hashable, ...]]] = {}
    for side, term in (("write", write), ("read", read)):
        names: list[Hashable] = [
            ("both", term.slots.index(place)) if place in term.slots else (side, place)
            for place in range(len(term.partition))
        ]
        for name, part in zip(names, term.partition, strict=True):
            parts[name] = part.label, part.size, tuple(names[outer] for outer in part.outer)
    return fits(parts.values())


def _tight(features: Sequence[tuple[LabelledDim, ...]]) -> frozenset[str]:
    """Labels of which two blocks may have more dimensions than there are indices."""
    most: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    for dims in features:
        for label, count in Counter(dim.label for dim in dims).items():
            most[label] = max(most[label], count)
        sizes.update({dim.label: dim.size for dim in dims})
    return frozenset(label for label, count in most.items() if 2 * count > sizes[label])


def _closed_subsets(partition: Partition) -> Iterator[tuple[int, ...]]:
    """Sets of parts with the outer parts of all their parts."""
    for count in range(len(partition) + 1):
        for kept in itertools.combinations(range(len(partition)), count):
            if all(set(partition[place].outer) <= set(kept) for place in kept):
                yield kept


def _arrangements(partition: Partition, kept: tuple[int, ...]) -> tuple[_Key, list[tuple[int, ...]]]:
    """What a signature looks like whatever its order, and all orders of the parts that look like this.

    There are several orders where parts are alike: a tensor with one group on two axes is read as it is and transposed.
    """
    labels: dict[str, list[int]] = {}
    for place in kept:
        labels.setdefault(partition[place].label, []).append(place)
    found: dict[_Key, list[tuple[int, ...]]] = {}
    for chosen in itertools.product(*(itertools.permutations(labels[label]) for label in sorted(labels))):
        order = tuple(itertools.chain(*chosen))
        key = tuple(
            (partition[place].label, tuple(order.index(outer) for outer in partition[place].outer)) for place in order
        )
        found.setdefault(key, []).append(order)
    key = min(found)
    return key, found[key]


def _laid_out(mixing: Mixing) -> Mixing:
    """With the indices of the signature in the order of the block that is written first, so that it needs no copy."""
    order = sorted(range(mixing.slots), key=mixing.writes[0].slots.__getitem__)

    def laid_out(term: Term) -> Term:
        return Term(term.block, term.partition, tuple(term.slots[slot] for slot in order))

    return Mixing(tuple(map(laid_out, mixing.reads)), tuple(map(laid_out, mixing.writes)))
