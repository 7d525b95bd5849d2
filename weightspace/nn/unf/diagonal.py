"""Diagonals: the entries of features whose indices are equal within every part of a partition."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from weightspace.nn.unf.partition import Partition

Pairs: TypeAlias = tuple[tuple[int, int], ...]  # of dimensions, each of what the pairs before have left


def pairs_of(partition: Partition) -> Pairs:
    """The pairs of dimensions of a tensor (networks, *sizes, channels) to take diagonals of, one after the other."""
    places = list(range(sum(len(part.dims) for part in partition)))  # the dimension of the block at every position
    pairs = []
    for part in partition:
        for dim in part.dims[1:]:
            pairs.append((1 + places.index(part.dims[0]), 1 + places.index(dim)))
            places.remove(dim)
    return tuple(pairs)


def diagonal(features: Tensor, pairs: Pairs) -> Tensor:
    """The diagonal of features (networks, *sizes, channels), (networks, *sizes of the parts, channels): a view."""
    for first, other in pairs:
        features = features.diagonal(0, first, other).movedim(-1, first)  # it comes last, behind the channels
    return features
