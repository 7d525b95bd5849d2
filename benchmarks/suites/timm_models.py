"""Every entry point of timm's registry, never with its trained weights.

Numbers are checked at the smallest resolution that a network takes: many are built for one (``img_size``), others take
any. Depth and width stay what they are.
"""

from __future__ import annotations

from functools import partial

import timm
from torch import nn

from suites import Case
from suites.smallest import LARGER, smallest
from weightspace.source import Inputs, resolve_source


def cases() -> list[Case]:
    found = []
    for name in timm.list_models():
        family = timm.model_entrypoint(name).__module__.rpartition(".")[2]
        small, larger = partial(_small, family, name), partial(_small, family, name, LARGER)
        found.append(Case(family, name, small, partial(_usual, name), larger))
    return found


def _usual(name: str) -> tuple[nn.Module, Inputs]:
    source = resolve_source(f"timm:{name}")
    return source.build(meta=True), source.example_inputs(batch=1)


def _small(family: str, name: str, least: int = 0) -> tuple[nn.Module, Inputs]:
    channels, *sides = resolve_source(f"timm:{name}").example_inputs(batch=1).args[0].shape[1:]
    create = partial(timm.create_model, name, pretrained=False)
    return smallest(family, create, "img_size", channels, max(sides), least)
