"""What keeps the axes of a network in place, reason by reason, and how many parameters that concerns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.spec import FrozenAxis, Spec


@dataclass(frozen=True, slots=True)
class FrozenShare:
    """What one reason freezes.

    Attributes:
        reason: The reason.
        axes: The stretches of axes that it keeps in place.
        parameters: Number of parameter entries on such a stretch.
        unmoved: How many of them no group moves along another axis either.
    """

    reason: str
    axes: tuple[FrozenAxis, ...]
    parameters: int
    unmoved: int

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON-ready values."""
        return {
            "reason": self.reason,
            "axes": len(self.axes),
            "parameters": self.parameters,
            "unmoved": self.unmoved,
        }


def frozen_shares(spec: Spec, kind: Callable[[str], str] = str) -> tuple[FrozenShare, ...]:
    """What every reason freezes, the one with most parameters first.

    Args:
        spec: The spec.
        kind: Names the kind of a reason, to count several as one.
    """
    axes: dict[str, list[FrozenAxis]] = {}
    for stretch in spec.frozen:
        for name in dict.fromkeys(map(kind, stretch.reasons)):
            axes.setdefault(name, []).append(stretch)
    shares = []
    for reason, stretches in axes.items():
        own = {each for axis in stretches for each in axis.reasons if kind(each) == reason}
        counts = [_counts(spec, name, own) for name in dict.fromkeys(axis.tensor for axis in stretches)]
        shares.append(
            FrozenShare(reason, tuple(stretches), sum(on for on, _ in counts), sum(unmoved for _, unmoved in counts))
        )
    return tuple(sorted(shares, key=lambda share: (-share.parameters, -len(share.axes), share.reason)))


def _counts(spec: Spec, name: str, reasons: set[str]) -> tuple[int, int]:
    """Entries of a tensor that some axis keeps in place for these reasons, and those of them that nothing moves."""
    tensor = spec.tensors[name]
    if tensor.kind != "parameter":
        return 0, 0
    movable = {group.name for group in spec.groups}

    def moves(leaf: GroupAxis | FixedAxis) -> bool:
        return isinstance(leaf, GroupAxis) and leaf.group in movable

    def freezes(leaf: GroupAxis | FixedAxis) -> bool:
        if isinstance(leaf, FixedAxis):
            return leaf.size > 1 and not reasons.isdisjoint(leaf.reasons)
        return leaf.group not in movable and "ordered" in reasons

    def entries(avoided: Callable[[GroupAxis | FixedAxis], bool]) -> int:
        return math.prod(_without(axis, avoided) for axis in tensor.axes)

    on = math.prod(tensor.shape) - entries(freezes)
    return on, entries(moves) - entries(lambda leaf: moves(leaf) or freezes(leaf))


def _without(axis: Axis, avoided: Callable[[GroupAxis | FixedAxis], bool]) -> int:
    """Number of indices of an axis none of whose leaves is to be avoided."""
    match axis:
        case ProductAxis(factors):
            return math.prod(_without(factor, avoided) for factor in factors)
        case SumAxis(parts, _):
            return sum(_without(part, avoided) for part in parts)
        case GroupAxis() | FixedAxis():
            return 0 if avoided(axis) else axis.size
