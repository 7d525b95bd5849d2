"""Networks by suite, for the benchmarks that go through many of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from torch import nn

from weightspace.source import Inputs

Build = Callable[[], tuple[nn.Module, Inputs]]
SUITES = {"timm": "suites.timm_models", "transformers": "suites.transformers_families", "other": "suites.other"}


@dataclass(frozen=True)
class Case:
    """One network of a suite; nothing is built before one of its functions is called.

    Attributes:
        family: What the tables group it by.
        name: Unique in its suite.
        build: The network in eval mode with real float32 weights, and the smallest inputs that it takes, batch 2.
        build_meta: The network as it is used, with parameters on the meta device, and inputs of the usual size; None
            where `build` gives just that.
        build_larger: As `build` with larger inputs, for where the smallest prove nothing (attention over one token does
            not depend on its queries); None where there are none.
    """

    family: str
    name: str
    build: Build
    build_meta: Build | None = None
    build_larger: Build | None = None


def cases(suite: str) -> list[Case]:
    """The networks of a suite (see `SUITES`)."""
    return import_module(SUITES[suite]).cases()
