"""Reads: diagonals and means of features, each computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.nn.unf.diagonal import Pairs, diagonal, pairs_of
from weightspace.nn.unf.mixing import Term
from weightspace.nn.unf.partition import Partition


@dataclass(frozen=True, slots=True)
class _Diagonal:
    block: int
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class _Mean:
    source: int  # the step of whose result it is a mean
    dims: tuple[int, ...]
    count: int


class Reading:
    """How to compute reads of the features of all blocks, with every mean taken of the smallest one that will do.

    Args:
        terms: The reads.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._steps: list[_Diagonal | _Mean] = []
        self._known: dict[tuple[int, Partition], dict[frozenset[int], int]] = {}
        for term in sorted(terms, key=lambda term: -len(term.slots)):
            self._step(term)
        self._reads = [(self._step(term), _order(term.slots)) for term in terms]

    def __call__(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The tensors of the signatures (networks, *sizes of the slots, channels) of all terms.

        Args:
            features: (networks, *sizes, channels) of every block.
        """
        values: list[Tensor] = []
        for step in self._steps:
            if isinstance(step, _Diagonal):
                values.append(diagonal(features[step.block], step.pairs))
            else:
                # The gradient of a sum is a view, that of a mean as large as what it is taken of.
                values.append(values[step.source].sum(step.dims) * (1 / step.count))
        return [values[step] if order is None else values[step].permute(order) for step, order in self._reads]

    def _step(self, term: Term) -> int:
        """The step that computes what a term reads, whatever its order."""
        known = self._known.setdefault((term.block, term.partition), {})
        kept = frozenset(term.slots)
        if not known:
            self._steps.append(_Diagonal(term.block, pairs_of(term.partition)))
            known[frozenset(range(len(term.partition)))] = len(self._steps) - 1
        if kept not in known:
            sizes = {place: part.size for place, part in enumerate(term.partition)}
            source = min((s for s in known if s >= kept), key=lambda s: math.prod(sizes[place] for place in s))
            places, dropped = sorted(source), sorted(source - kept)
            dims = tuple(1 + places.index(place) for place in dropped)
            self._steps.append(_Mean(known[source], dims, math.prod(sizes[place] for place in dropped)))
            known[kept] = len(self._steps) - 1
        return known[kept]


def _order(slots: tuple[int, ...]) -> tuple[int, ...] | None:
    """How to permute (networks, *ascending parts, channels) into the order of the slots; None where it is that."""
    places = sorted(slots)
    if places == list(slots):
        return None
    return (0, *(1 + places.index(slot) for slot in slots), len(slots) + 1)
