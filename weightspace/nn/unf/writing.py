"""Writes: what the mixings give for a block, repeated along its other indices and added up with few large additions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from weightspace.nn.unf.mixing import Term
from weightspace.nn.unf.partition import Partition

_Sums = dict[tuple[int, ...], Tensor]  # by the parts of one partition that are indices of the tensor


def merged(pieces: Iterable[tuple[Term, Tensor]]) -> list[tuple[Partition, Tensor]]:
    """All writes to one block as few tensors to repeat and add to it.

    Args:
        pieces: Writes with their tensors (networks, *sizes of the slots, channels).

    Returns:
        By partition, finer ones first, tensors (networks, *sizes of the parts, channels), or 1 for the size of a part
        to repeat it along.
    """
    by_partition: dict[Partition, _Sums] = {}
    for term, tensor in pieces:
        sums, kept = by_partition.setdefault(term.partition, {}), tuple(sorted(term.slots))
        tensor = tensor.permute(0, *(1 + term.slots.index(place) for place in kept), tensor.dim() - 1)
        sums[kept] = sums[kept] + tensor if kept in sums else tensor
    return [
        (partition, _widened(tensor, kept, range(len(partition))))
        for partition in sorted(by_partition, key=len, reverse=True)
        for kept, tensor in _merged(by_partition[partition])
    ]


def _merged(sums: _Sums) -> list[tuple[tuple[int, ...], Tensor]]:
    """Each tensor is added to the smallest that has all its indices."""
    waiting = sorted(sums.items(), key=lambda item: item[1].numel())
    found = []
    while waiting:
        (kept, tensor), *waiting = waiting
        larger = next((place for place, (other, _) in enumerate(waiting) if set(kept) <= set(other)), None)
        if larger is None:
            found.append((kept, tensor))
        else:
            other, value = waiting[larger]
            waiting[larger] = other, value + _widened(tensor, kept, other)
    return found


def _widened(tensor: Tensor, kept: tuple[int, ...], places: Sequence[int]) -> Tensor:
    return tensor[(slice(None), *(slice(None) if place in kept else None for place in places))]
