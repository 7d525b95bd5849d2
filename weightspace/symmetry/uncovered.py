"""Operators that no rule understands: what they touch is frozen, and they are listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Uncovered:
    """An operator without a rule that fits its calls.

    Attributes:
        operator: Its full name, `aten.sort.default`.
        calls: How often the forward pass calls it so.
        place: The line of the network's code that calls it first, `FILE:LINE`; None where only PyTorch does.
    """

    operator: str
    calls: int
    place: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the entry as JSON-ready values."""
        return {"operator": self.operator, "calls": self.calls, "first_at": self.place}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Uncovered:
        """Inverse of `to_json`."""
        place = data.get("first_at")
        return cls(str(data["operator"]), int(data["calls"]), None if place is None else str(place))
