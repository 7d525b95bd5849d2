"""Every entry point of timm's registry, never with its trained weights.

Numbers are checked at the smallest resolution that a network takes: many are built for one (``img_size``), others take
any. Depth and width stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import timm
import torch
from suites import Case
from torch import nn

from weightspace.errors import SourceError, TraceError
from weightspace.source import Inputs, resolve_source
from weightspace.source.construction import construct
from weightspace.symmetry.trace import trace

# At 64 pixels and the usual stride of 32, attention still sees four tokens: with one, its queries would not matter.
SIDES = (64, 56, 80, 96, 112, 128, 160, 192, 224, 256, 288, 384)
LARGE = 224  # from this side on one image is enough
_known: dict[str, tuple[bool, int]] = {}  # family -> (whether it is built for a size, the side that worked last)


def cases() -> list[Case]:
    found = []
    for name in timm.list_models():
        family = timm.model_entrypoint(name).__module__.rpartition(".")[2]
        found.append(Case(family, name, partial(_small, family, name), partial(_usual, name)))
    return found


def _usual(name: str) -> tuple[nn.Module, Inputs]:
    source = resolve_source(f"timm:{name}")
    return source.build(meta=True), source.example_inputs(batch=1)


def _small(family: str, name: str) -> tuple[nn.Module, Inputs]:
    """The network at the smallest resolution that it takes, found on the meta device."""
    source = resolve_source(f"timm:{name}")
    channels, *usual = source.example_inputs(batch=1).args[0].shape[1:]
    for sized, side in _plans(family, max(usual)):
        shape = (1 if side >= LARGE else 2, channels, side, side)
        inputs = Inputs((torch.randn(shape, generator=torch.Generator().manual_seed(0)),))
        options: dict[str, Any] = {"img_size": side} if sized else {}
        try:
            trace(_create(name, meta=True, **options), inputs.args)
        except (TraceError, RuntimeError, TypeError, ValueError, AssertionError, AttributeError):
            continue
        _known[family] = sized, side
        return _create(name, **options), inputs
    raise SourceError(f"timm:{name}: no square input of at most {max(usual)} pixels runs")


def _plans(family: str, usual: int) -> Iterator[tuple[bool, int]]:
    """(built for a size, side) in the order in which they are tried."""
    if family in _known:
        yield _known[family]
    for side in (*(side for side in SIDES if side < usual), usual):
        yield from ((True, side), (False, side))


def _create(name: str, *, meta: bool = False, **options: Any) -> nn.Module:
    return construct(lambda: timm.create_model(name, pretrained=False, **options), meta=meta).eval()
