"""Dimensions that could be mistaken for each other unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weightspace.symmetry.label import Label, Labels, resolve


def pairs(labels: Sequence[Label]) -> Iterator[tuple[int, int]]:
    """Pairs of dimensions that could be mistaken for each other unnoticed."""
    for j, second in enumerate(labels):
        for i, first in enumerate(labels[:j]):
            if first.size == second.size > 1 and resolve(first) is not resolve(second):
                yield i, j


def exchanged(labels: Labels) -> Labels:
    labels = list(labels)
    for i, j in pairs(labels):
        labels[i], labels[j] = labels[j], labels[i]
        break
    return labels
