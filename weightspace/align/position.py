"""Where a search is: all that it needs to go on, beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from weightspace.symmetry import Element


@dataclass
class Position:
    """Where the descent of a search is. Units go by their numbers.

    Attributes:
        start: Number of the start at work.
        waiting: Units that the frontier has not reached.
        sweep: Number of the sweep at work; 0 before the first.
        order: Units that the sweep has still to visit.
        moved: Whether the sweep has moved anything.
        stale: Units that may gain, since something near them moved.
        held: Units that stay where they are until the others have settled.
        random: State of the random generator, where it was written down.
    """

    start: int
    waiting: list[int] = field(default_factory=list)
    sweep: int = 0
    order: list[int] = field(default_factory=list)
    moved: bool = False
    stale: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    random: Tensor = field(default_factory=lambda: torch.Generator().get_state())


@dataclass(frozen=True)
class Best:
    """The best that a search has found.

    Attributes:
        objective: Its objective.
        element: The group element.
        sweeps: Sweeps that its start took.
    """

    objective: float
    element: Element
    sweeps: int
