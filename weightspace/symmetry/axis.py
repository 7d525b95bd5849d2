"""The structure of one axis of a parameter: which group permutes which of its indices.

An axis is a tree. A leaf is carried by one group or is fixed; a product combines an outer and inner index (heads x
head dimension, channels x pixels after a flatten); a sum lays several axes side by side (a concatenation, a fused QKV),
whose pieces may be scattered (the two zero-padded sides of a shortcut form one group).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from weightspace.errors import SpecError

BETWEEN_REASONS = "; "  # where stretches are one that stay in place for several


@dataclass(frozen=True, slots=True)
class GroupAxis:
    """``size`` indices that the group of that name permutes."""

    group: str
    size: int


@dataclass(frozen=True, slots=True)
class FixedAxis:
    """``size`` indices that stay where they are, with the reason; of neighbours that are one stretch, with all."""

    size: int
    reason: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons one by one."""
        return reasons_in(self.reason)


@dataclass(frozen=True, slots=True)
class ProductAxis:
    """Mixed-radix product of factors, the outermost first: index = (i_1 * n_2 + i_2) * n_3 + ..."""

    factors: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """Number of indices."""
        return math.prod(factor.size for factor in self.factors)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a sum: ``length`` consecutive indices: ``start, start + 1, ...`` of part number ``part``."""

    part: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class SumAxis:
    """Parts laid side by side. ``runs``, in the order of the axis, say where the indices of each part lie.

    An ordinary concatenation has one run per part; a part with several runs lies scattered.
    """

    parts: tuple[Axis, ...]
    runs: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Number of indices."""
        return sum(part.size for part in self.parts)


Axis: TypeAlias = GroupAxis | FixedAxis | ProductAxis | SumAxis


def reasons_in(text: str) -> tuple[str, ...]:
    """The reasons for which a stretch stays in place, one by one."""
    return tuple(text.split(BETWEEN_REASONS))


def all_reasons(*texts: str) -> str:
    """The reasons of neighbours that become one stretch, each once."""
    return BETWEEN_REASONS.join(dict.fromkeys(reason for text in texts if text for reason in reasons_in(text)))


def leaves(axis: Axis) -> Iterator[GroupAxis | FixedAxis]:
    """Yields the leaves of an axis tree from left to right."""
    match axis:
        case ProductAxis(factors):
            for factor in factors:
                yield from leaves(factor)
        case SumAxis(parts, _):
            for part in parts:
                yield from leaves(part)
        case GroupAxis() | FixedAxis():
            yield axis


def axis_to_json(axis: Axis) -> dict[str, Any]:
    """Returns the tree as JSON-ready values."""
    match axis:
        case GroupAxis(group, size):
            return {"group": group, "size": size}
        case FixedAxis(size, reason):
            return {"fixed": size, "reason": reason}
        case ProductAxis(factors):
            return {"product": [axis_to_json(factor) for factor in factors]}
        case SumAxis(parts, runs):
            return {
                "sum": [axis_to_json(part) for part in parts],
                "runs": [[run.part, run.start, run.length] for run in runs],
            }


def axis_from_json(data: dict[str, Any]) -> Axis:
    """Inverse of `axis_to_json`.

    Raises:
        SpecError: If the node is of no known kind or the runs of a sum do not cover its parts exactly once.
    """
    if "group" in data:
        return GroupAxis(str(data["group"]), int(data["size"]))
    if "fixed" in data:
        return FixedAxis(int(data["fixed"]), str(data.get("reason", "")))
    if "product" in data:
        return ProductAxis(tuple(axis_from_json(factor) for factor in data["product"]))
    if "sum" in data:
        axis = SumAxis(
            tuple(axis_from_json(part) for part in data["sum"]),
            tuple(Run(int(part), int(start), int(length)) for part, start, length in data["runs"]),
        )
        check_runs(axis)
        return axis
    raise SpecError(f"axis: expected a group, fixed, product or sum node, found {sorted(data)}")


def check_runs(axis: SumAxis) -> None:
    """Checks that the runs of a sum cover every index of every part exactly once.

    Raises:
        SpecError: Naming the part that is not covered.
    """
    covered: list[list[int]] = [[] for _ in axis.parts]
    for run in axis.runs:
        if not 0 <= run.part < len(axis.parts):
            raise SpecError(f"axis: a run names part {run.part} of a sum of {len(axis.parts)} parts")
        covered[run.part].extend(range(run.start, run.start + run.length))
    for number, (part, indices) in enumerate(zip(axis.parts, covered, strict=True)):
        if sorted(indices) != list(range(part.size)):
            raise SpecError(f"axis: the runs of a sum must cover its part {number} of size {part.size} exactly once")
