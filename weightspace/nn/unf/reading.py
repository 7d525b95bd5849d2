"""Reads: diagonals and means of features, each computed once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from torch import Tensor

from weightspace.nn.unf.mixing import Term
from weightspace.nn.unf.partition import Partition


class Reader:
    """What is read of the features of all blocks, kept for those who read the same or less of it.

    Args:
        features: (networks, *sizes, channels) of every block.
        terms: All that will be read: a mean is taken of the smallest mean before it that has its indices.
    """

    def __init__(self, features: Sequence[Tensor], terms: Iterable[Term]) -> None:
        self._features = features
        self._means: dict[tuple[int, Partition], dict[frozenset[int], Tensor]] = {}
        for term in terms:
            self._mean(term)

    def read(self, term: Term) -> Tensor:
        """The signature's tensor (networks, *sizes of the slots, channels)."""
        mean = self._mean(term)
        places = sorted(term.slots)
        if places == list(term.slots):
            return mean
        return mean.permute(0, *(1 + places.index(slot) for slot in term.slots), mean.dim() - 1)

    def _mean(self, term: Term) -> Tensor:
        means = self._means.setdefault((term.block, term.partition), {})
        kept = frozenset(term.slots)
        if kept not in means:
            if not means:
                means[frozenset(range(len(term.partition)))] = diagonal(self._features[term.block], term.partition)
            source = min((places for places in means if places >= kept), key=lambda places: means[places].numel())
            if source != kept:
                places = sorted(source)
                dropped = [1 + places.index(place) for place in source - kept]
                # The gradient of a sum is a view, that of a mean as large as what it is taken of.
                means[kept] = means[source].sum(dropped) / math.prod(means[source].shape[dim] for dim in dropped)
        return means[kept]


def diagonal(features: Tensor, partition: Partition) -> Tensor:
    """The entries whose indices are equal within every part, (networks, *sizes of the parts, channels): a view."""
    places = list(range(sum(len(part.dims) for part in partition)))  # the dimension of the block at every position
    for part in partition:
        for dim in part.dims[1:]:
            first, other = places.index(part.dims[0]), places.index(dim)
            # The diagonal comes last, behind the channels.
            features = features.diagonal(0, 1 + first, 1 + other).movedim(-1, 1 + first)
            places.remove(dim)
    return features
