"""Every entry point of timm's registry, never with its trained weights.

Numbers are checked at the smallest resolution that a network takes: many are built for one (``img_size``), others take
any. Depth and width stay what they are.
"""

from __future__ import annotations

from functools import partial

import timm
from torch import nn

from suites import Case
from suites.smallest import smallest
from weightspace.source import Inputs, resolve_source


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
    channels, *sides = resolve_source(f"timm:{name}").example_inputs(batch=1).args[0].shape[1:]
    return smallest(family, partial(timm.create_model, name, pretrained=False), "img_size", channels, max(sides))
