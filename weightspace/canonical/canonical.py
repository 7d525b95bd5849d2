"""What canonicalisation gives: the weights, how they got there, and what remained open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from weightspace.canonical.order import Ties
from weightspace.symmetry.transformation import Transformation


@dataclass(frozen=True, slots=True)
class Gauge:
    """What became of one freedom.

    Attributes:
        name: The freedom.
        kind: Its kind.
        units: Number of its units.
        changed: How many of them were changed.
        one_sided: Of a scale, how many units have nothing but zeros on one side, so that no scale makes them smallest:
            the geometric mean of their weights becomes 1.
        unresolved: How many have no canonical value, so that their weights may depend on those that were given.
    """

    name: str
    kind: str
    units: int
    changed: int
    one_sided: int = 0
    unresolved: int = 0


@dataclass(frozen=True, slots=True)
class Sorted:
    """What became of the order of one group.

    Attributes:
        name: The group.
        size: Its number of units.
        copies: Number of outer indices, each of which has units of its own.
        moved: Number of units that changed their place, over all copies.
        ties: What the weights left open.
    """

    name: str
    size: int
    copies: int
    moved: int
    ties: Ties


@dataclass(frozen=True, eq=False)
class Canonical:
    """Weights in canonical form.

    Attributes:
        tensors: The weights, under the names and of the types and on the device of the given ones.
        transformation: What brought them there.
        gauges: What became of scales, signs and maps.
        groups: What became of the order of units.
    """

    tensors: dict[str, Tensor]
    transformation: Transformation
    gauges: tuple[Gauge, ...]
    groups: tuple[Sorted, ...]

    @property
    def unresolved(self) -> int:
        """Number of units for which the result may depend on the weights that were given, not on their orbit alone."""
        return sum(gauge.unresolved for gauge in self.gauges) + sum(
            group.ties.tied + group.ties.close for group in self.groups
        )

    def report(self) -> dict[str, Any]:
        """What was done, as JSON values."""
        return {
            "freedoms": [asdict(gauge) for gauge in self.gauges],
            "groups": [
                {"name": each.name, "size": each.size, "copies": each.copies, "moved": each.moved, **asdict(each.ties)}
                for each in self.groups
            ],
            "unresolved": self.unresolved,
        }
