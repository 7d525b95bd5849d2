"""Writes: what the mixings give for a block, repeated along its other indices and added up with few large additions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from weightspace.nn.unf.diagonal import Pairs, pairs_of
from weightspace.nn.unf.mixing import Term
from weightspace.nn.unf.partition import Partition

_Index = tuple[slice | None, ...]


class Writing:
    """How to write to one block.

    Tensors that lie on the same diagonal are added up first, each to the smallest that has all its indices.

    Args:
        terms: The writes.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._orders = [_order(term.slots) for term in terms]
        self._sums: list[tuple[int, int, _Index]] = []  # (from, to, how to repeat)
        self._last: list[tuple[int, Pairs, _Index]] = []
        by_partition: dict[Partition, list[int]] = {}
        for place, term in enumerate(terms):
            by_partition.setdefault(term.partition, []).append(place)
        # Nothing equal first: the block itself, to whose diagonals the others are added.
        for partition in sorted(by_partition, key=len, reverse=True):
            self._add_up(terms, by_partition[partition])

    def _add_up(self, terms: Sequence[Term], places: list[int]) -> None:
        partition = terms[places[0]].partition
        sizes = [part.size for part in partition]
        waiting = sorted(places, key=lambda place: math.prod(sizes[slot] for slot in terms[place].slots))
        while waiting:
            place, *waiting = waiting
            kept = set(terms[place].slots)
            larger = next((other for other in waiting if kept <= set(terms[other].slots)), None)
            if larger is None:
                self._last.append((place, pairs_of(partition), _repeated(kept, range(len(partition)))))
            else:
                self._sums.append((place, larger, _repeated(kept, sorted(terms[larger].slots))))

    def __call__(self, pieces: Sequence[Tensor]) -> list[tuple[Pairs, Tensor]]:
        """What to add to which diagonals, (networks, *sizes of the parts, channels), or 1 where it is repeated.

        Args:
            pieces: For every term (networks, *sizes of the slots, channels).
        """
        values = [
            piece if order is None else piece.permute(order) for piece, order in zip(pieces, self._orders, strict=True)
        ]
        for place, larger, index in self._sums:
            values[larger] = values[larger] + values[place][index]
        return [(pairs, values[place][index]) for place, pairs, index in self._last]


def _repeated(kept: set[int], places: Sequence[int]) -> _Index:
    """The index that gives a tensor (networks, *kept, channels) a dimension of size 1 for every other place."""
    return (slice(None), *(slice(None) if place in kept else None for place in places))


def _order(slots: tuple[int, ...]) -> tuple[int, ...] | None:
    """How to permute (networks, *slots, channels) into ascending order of the parts; None where it is that."""
    order = sorted(range(len(slots)), key=slots.__getitem__)
    return None if order == list(range(len(slots))) else (0, *(1 + slot for slot in order), len(slots) + 1)
