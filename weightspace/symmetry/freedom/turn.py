"""Where a rotary freedom acts: pairs of positions on the axis of a projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Turn:
    """Pairs of positions on an axis of a tensor that a rotary freedom turns.

    Attributes:
        tensor: Name in the state dict.
        axis: The axis.
        positions: int64 of shape (heads, copies, frequencies, 2): every head of the keys serves some copies.
        exponent: 1 for queries, which are multiplied by z; -1 for keys, which are multiplied by 1 / conj(z).
    """

    tensor: str
    axis: int
    positions: Tensor
    exponent: int

    def to_json(self) -> list[Any]:
        """Returns the turn as JSON-ready values; positions at regular steps as sizes and strides."""
        start, sizes = int(self.positions.reshape(-1)[0]), list(self.positions.shape)
        strides = [
            int(self.positions.select(dim, 1).reshape(-1)[0]) - start if size > 1 else 0
            for dim, size in enumerate(sizes)
        ]
        if bool((_regular(start, sizes, strides) == self.positions).all()):
            return [self.tensor, self.axis, {"start": start, "sizes": sizes, "strides": strides}, self.exponent]
        return [self.tensor, self.axis, self.positions.tolist(), self.exponent]

    @classmethod
    def from_json(cls, data: list[Any]) -> Turn:
        """Inverse of `to_json`."""
        tensor, axis, positions, exponent = data
        if isinstance(positions, dict):
            found = _regular(int(positions["start"]), positions["sizes"], positions["strides"])
        else:
            found = torch.tensor(positions, dtype=torch.int64)
        return cls(str(tensor), int(axis), found, int(exponent))


def _regular(start: int, sizes: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Positions at regular steps."""
    result = torch.tensor(start)
    for dim, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        steps = torch.arange(size) * stride
        result = result + steps.reshape([-1 if i == dim else 1 for i in range(len(sizes))])
    return result
