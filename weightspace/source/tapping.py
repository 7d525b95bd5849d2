"""Seeing the values of groups while a network runs, at the places that its trace names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from weightspace.source.following import Following
from weightspace.symmetry.taps import Tap, Taps

Visit = Callable[[Tap, Tensor], None]
"""Called with a tap and its values, (samples, sizes of the outer groups..., n); they may be overwritten afterwards."""


class Tapping(Following):
    """Calls `visit` at every tap.

    Args:
        taps: Derived from the same network on inputs of the same shape.
        visit: What to do with the values.
        label: What messages call the network.
    """

    def __init__(self, taps: Taps, visit: Visit, label: str) -> None:
        super().__init__(taps.sequence, label)
        self._visit = visit
        self._taps: dict[int, list[Tap]] = {}
        for tap in taps.taps:
            self._taps.setdefault(tap.number, []).append(tap)

    @override
    def seen(self, number: int, args: Sequence[Any], result: Any) -> None:
        if number in self._taps:
            outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            for tap in self._taps[number]:
                self._visit(tap, tap.values(outputs[tap.output]))
