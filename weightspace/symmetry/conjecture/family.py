"""A family of transpositions that a spec does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from weightspace.symmetry.transposition import Move, Place

Draw = Callable[[Random], Move]


@dataclass(frozen=True)
class Conjecture:
    """A family of transpositions that the spec does not have.

    Attributes:
        kind: What is moved (see the module).
        size: Number of indices of the class, or of the larger one of two.
        reason: Why the derivation does not move them.
        draw: Draws one transposition.
    """

    kind: str
    size: int
    reason: str
    draw: Draw


def some(places: Sequence[Place], random: Random) -> list[Place]:
    """All, none or any of some axes."""
    share = random.choice([0.0, 0.5, 1.0])
    return [place for place in places if random.random() < share]
