"""Axes, shapes and names in words, as the picture shows them."""

from __future__ import annotations

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.spec import TensorSpec


def describe_axis(axis: Axis) -> str:
    """The tree of an axis in one line: `heads (12) x [q (64) + ...]`."""
    match axis:
        case GroupAxis(group, size):
            return f"{group} ({size:,})"
        case FixedAxis(size, reason):
            return f"{size:,} in place ({reason})" if reason else f"{size:,} in place"
        case ProductAxis(factors):
            return " x ".join(describe_axis(factor) for factor in factors)
        case SumAxis(parts, runs):
            scattered = len(runs) > len(parts)
            return f"[{' + '.join(map(describe_axis, parts))}]{' scattered' if scattered else ''}"


def describe_tensor(name: str, tensor: TensorSpec, aliases: list[str]) -> str:
    """Name, shape and axes of a tensor, a line each."""
    lines = [f"{name} {describe_shape(tensor.shape)}", *(f"tied to {alias}" for alias in aliases)]
    lines += [f"axis {number}: {describe_axis(axis)}" for number, axis in enumerate(tensor.axes) if axis.size > 1]
    return "\n".join(lines)


def describe_shape(shape: tuple[int, ...]) -> str:
    """`64 x 3 x 7 x 7`, with a multiplication sign."""
    return "×".join(f"{size:,}" for size in shape)


def elided(text: str, longest: int) -> str:
    """The text with its middle left out where it is longer than so many characters."""
    if len(text) <= longest:
        return text
    front = (longest - 1) // 3
    return f"{text[:front]}…{text[len(text) - (longest - 1 - front) :]}"
