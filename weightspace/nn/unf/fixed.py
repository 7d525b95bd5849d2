"""Labels of the dimensions that no group moves, so that those which mean the same are treated as the same."""

from __future__ import annotations

import itertools
import math
from collections import Counter

from weightspace.symmetry import Spec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis, leaves


def fixed_labels(spec: Spec, tensor: str) -> list[tuple[str | None, ...]]:
    """For every block of a tensor, for every dimension: a label where no group moves it, else None.

    Dimensions share a label if they are equally large, stay in place for the same reason, and come equally late among
    such dimensions of their block: the classes of the last weight and of its bias, the tokens of an embedding and of
    another, never two axes of one block.
    """
    pieces = [_pieces(axis) for axis in spec.tensors[tensor].axes]
    labels = []
    for chosen in itertools.product(*pieces):
        dims = list(itertools.chain(*chosen))
        if math.prod(leaf.size for leaf in dims):
            labels.append(_labels(dims))
    return labels


def _labels(dims: list[GroupAxis | FixedAxis]) -> tuple[str | None, ...]:
    seen: Counter[str] = Counter()
    labels: list[str | None] = []
    for leaf in dims:
        if isinstance(leaf, GroupAxis):
            labels.append(None)
            continue
        label = f"fixed {leaf.size} ({leaf.reason})"
        seen[label] += 1
        labels.append(f"{label} #{seen[label]}")
    return tuple(labels)


def _pieces(axis: Axis) -> list[tuple[GroupAxis | FixedAxis, ...]]:
    """The leaves of every piece of an axis, in the order of `weightspace.symmetry.block.axis_pieces`."""
    match axis:
        case ProductAxis(factors):
            return [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*map(_pieces, factors))]
        case SumAxis(parts, _):
            return [piece for part in parts for piece in _pieces(part)]
        case _:
            return [tuple(leaves(axis))]
