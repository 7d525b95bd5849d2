"""The straight line between two networks in weight space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import CheckpointMismatchError


def interpolate(a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> dict[str, Tensor]:
    """The point `a + t (b - a)` of the straight line from `a` to `b`.

    Both ends are exact, and so is the whole line where `a` equals `b`.

    Args:
        a: Weights at t = 0.
        b: Weights at t = 1, with the same names and shapes.
        t: Position; 0.5 is the average.

    Returns:
        Every floating tensor in the wider of its own dtype and float32; others (counters, indices) as in `a`.

    Raises:
        CheckpointMismatchError: A tensor that only one of them has, or with two shapes.
    """
    _check_names(a, b)
    return {name: _point(name, tensor, b[name], t) for name, tensor in a.items()}


def average(models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of some networks, one or more.

    Returns:
        As of `interpolate`.

    Raises:
        CheckpointMismatchError: A tensor that not all of them have, or with two shapes.
    """
    found = interpolate(models[0], models[0], 0.0)
    for number, other in enumerate(models[1:], 2):
        found = interpolate(found, other, 1.0 / number)
    return found


def merge_interpolate(a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float = 0.5) -> dict[str, Tensor]:
    """Merge two aligned networks by interpolation, as `interpolate`, but in the dtypes of `a`.

    Args:
        a: Weights of the reference.
        b: Weights of the other network, aligned to `a`.
        t: Share of `b`.

    Returns:
        The merged weights. Running statistics of batch norms are interpolated like everything else; see
        `weightspace.merge.merge` to measure them.

    Raises:
        CheckpointMismatchError: A tensor that only one of them has, or with two shapes.
    """
    _check_names(a, b)
    return {name: _point(name, tensor, b[name], t).to(tensor.dtype) for name, tensor in a.items()}


def _point(name: str, a: Tensor, b: Tensor, t: float) -> Tensor:
    if a.shape != b.shape:
        raise CheckpointMismatchError(
            f"{name}: expected the same shape in both networks, found {tuple(a.shape)} and {tuple(b.shape)}; "
            "interpolate networks of one architecture"
        )
    if not a.is_floating_point() and not a.is_complex():
        return a
    dtype = torch.promote_types(a.dtype, torch.float32)
    if t == 1:  # a + (b - a) is not b in floating point
        return b.to(dtype)
    a = a.to(dtype)
    return a + t * (b.to(dtype) - a) if t else a


def _check_names(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    for name in sorted(a.keys() ^ b.keys()):
        side = "first" if name in a else "second"
        raise CheckpointMismatchError(
            f"{name}: expected in both networks, found only in the {side}; interpolate networks of one architecture"
        )
