"""What decides the nearest value of a freedom: products of the units of two networks, summed over all their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.symmetry.block import Block
from weightspace.symmetry.freedom import Freedom, Freedoms

State = Mapping[str, Tensor]
Weights = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Gram:
    """Weighted sums over the places where a freedom acts with one exponent, in float64.

    Attributes:
        exponent: The exponent.
        own: Of B with itself: (outer..., n, n), or (outer..., n) for a factor per unit.
        cross: Of A with B, of the same shape.
        reference: For a factor per unit, of A with itself.
    """

    exponent: int
    own: Tensor
    cross: Tensor
    reference: Tensor | None = None


def grams(freedoms: Freedoms, freedom: Freedom, a: State, b: State, weights: Weights) -> list[Gram]:
    """The sums for a freedom that acts on places, one per exponent.

    Args:
        freedoms: All freedoms of the network.
        freedom: One of them, not rotary.
        a: Weights of the reference.
        b: Weights of the other network.
        weights: What each block counts; tensors that are not in it count nothing.
    """
    found: dict[int, list[Tensor]] = {}
    for x, y, weight, exponent in _rows(freedoms, freedom, a, b, weights):
        if freedom.matrix:
            parts = [weight * (y @ y.mT).double(), weight * (x @ y.mT).double()]
        else:
            parts = [weight * (p * q).sum(-1).double() for p, q in ((y, y), (x, y), (x, x))]
        before = found.get(exponent)
        found[exponent] = parts if before is None else [sum_ + part for sum_, part in zip(before, parts, strict=True)]
    return [Gram(exponent, *parts) for exponent, parts in found.items()]


def pairings(freedoms: Freedoms, freedom: Freedom, a: State, b: State, weights: Weights) -> Tensor | None:
    """Products of every index of the outer group in A with every one in B: (outer, outer, n, n), float64.

    Only for a freedom by matrices with a single outer group; None where nothing counts.
    """
    total: Tensor | None = None
    for x, y, weight, _ in _rows(freedoms, freedom, a, b, weights):
        part = weight * torch.einsum("ink,jmk->ijnm", x, y).double()
        total = part if total is None else total + part
    return total


def turn_grams(freedom: Freedom, a: State, b: State, weights: Weights) -> list[Gram]:
    """As `grams`, for a rotary freedom: its units are pairs of dimensions, read as complex numbers.

    ``own`` and ``reference`` are real, ``cross`` complex, all of shape (heads, frequencies).
    """
    found = []
    for turn in freedom.turns:
        if turn.tensor in weights:
            x, y = (_pairs(state[turn.tensor], turn.axis, turn.positions) for state in (a, b))
            weight = max(weights[turn.tensor])
            own, cross, reference = (weight * (p * q.conj()).sum((1, 3)) for p, q in ((y, y), (x, y), (x, x)))
            found.append(Gram(turn.exponent, own.real, cross, reference.real))
    return found


def _rows(freedoms: Freedoms, freedom: Freedom, a: State, b: State, weights: Weights) -> list[tuple]:  # type: ignore[type-arg]
    """(A, B, weight, exponent) of every place that counts, with units as rows: (outer..., n, rest)."""
    found = []
    for place in freedom.places:
        if place.tensor in weights:
            block = freedoms.blocks[place.tensor][place.block]
            dims = (*block.dims[place.dim].outer, place.dim)
            x, y = (_units(block, state[place.tensor], dims) for state in (a, b))
            found.append((x, y, weights[place.tensor][place.block], place.exponent))
    return found


def _units(block: Block, tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    entries = block.read(tensor)
    moved = entries.movedim(dims, tuple(range(len(dims))))
    return moved.reshape(*moved.shape[: len(dims)], -1)


def _pairs(tensor: Tensor, axis: int, positions: Tensor) -> Tensor:
    """(heads, copies, frequencies, rest), complex128."""
    moved = tensor.movedim(axis, 0).reshape(tensor.shape[axis], -1).double()
    real, imaginary = (moved[positions[..., part].to(tensor.device)] for part in range(2))
    return torch.complex(real, imaginary)
