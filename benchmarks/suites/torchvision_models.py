"""torchvision's classifiers, with random weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torchvision
from torch import nn

from suites import Case
from suites.smallest import LARGER, images, smallest
from weightspace.source import Inputs
from weightspace.source.construction import construct

SIDE = 224
# Their slow initialisation is of no use here, and their auxiliary classifiers exist in training alone.
PLAIN = {"init_weights": False, "aux_logits": False}
OPTIONS: dict[str, dict[str, Any]] = {"inception_v3": PLAIN, "googlenet": PLAIN}


def cases() -> list[Case]:
    found = []
    for name in torchvision.models.list_models(module=torchvision.models):
        family = f"torchvision {torchvision.models.get_model_builder(name).__module__.rpartition('.')[2]}"
        create = partial(torchvision.models.get_model, name, weights=None, **OPTIONS.get(name, {}))
        build = partial(smallest, family, create, "image_size", 3, SIDE)
        found.append(Case(family, name, build, partial(_usual, create), partial(build, LARGER)))
    return found


def _usual(create: Any) -> tuple[nn.Module, Inputs]:
    return construct(create, meta=True).eval(), images(1, 3, SIDE)
