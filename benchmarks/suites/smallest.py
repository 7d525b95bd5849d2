"""The smallest image on which a network runs, found on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from weightspace.errors import SourceError, TraceError
from weightspace.source import Inputs
from weightspace.source.construction import construct
from weightspace.symmetry.trace import trace

# At 64 pixels and the usual stride of 32, attention still sees four tokens: with one, its queries would not matter.
SIDES = (64, 56, 80, 96, 112, 128, 160, 192, 224, 256, 288, 384)
LARGER = 160  # where 64 does not do: ten tokens a side at a stride of 16, five at 32
LARGE = 224  # from this side on one image is enough
REFUSALS = (TraceError, RuntimeError, TypeError, ValueError, AssertionError, AttributeError)
Plan = tuple[bool, int]  # whether the network is built for a side, and which
_known: dict[tuple[str, int], Plan] = {}  # what worked last, by family and least side


def smallest(
    family: str, create: Callable[..., nn.Module], option: str, channels: int, usual: int, least: int = 0
) -> tuple[nn.Module, Inputs]:
    """Builds a network for the smallest side that works, or finds the smallest that it takes as it is.

    Args:
        family: Networks of one family are alike: what worked for the last one is tried first.
        create: Builds the network, given the option or not.
        option: Name of the argument that says for which side the network is built.
        channels: Of the images.
        usual: The side that the network is meant for; the last resort.
        least: No side below this one is tried.

    Raises:
        SourceError: If no square image runs.
    """
    for sized, side in _plans(family, usual, least):
        inputs = images(1 if side >= LARGE else 2, channels, side)
        options = {option: side} if sized else {}
        try:
            trace(construct(lambda options=options: create(**options), meta=True).eval(), inputs.args)
        except REFUSALS:
            continue
        _known[family, least] = sized, side
        return construct(lambda options=options: create(**options), meta=False).eval(), inputs
    raise SourceError(f"{family}: no square image of at most {usual} pixels runs")


def images(batch: int, channels: int, side: int) -> Inputs:
    """A batch of random images."""
    return Inputs((torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0)),))


def _plans(family: str, usual: int, least: int) -> Iterator[Plan]:
    """In the order in which they are tried."""
    if (family, least) in _known:
        yield _known[family, least]
    for side in (*(side for side in SIDES if least <= side < usual), usual):
        yield from ((True, side), (False, side))
