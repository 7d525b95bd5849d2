"""What derived freedoms are held against: the function of the network in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from weightspace.errors import SpecError
from weightspace.source import Inputs, Program
from weightspace.symmetry import derive, randomized
from weightspace.symmetry.freedom import KINDS
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation
from weightspace.symmetry.verify import Forward, relative_error
from weightspace.symmetry.verify_freedoms import verify_freedoms

TOLERANCE = 1e-6


def broken(spec: Spec, forward: Forward, state: Mapping[str, Tensor], generator: torch.Generator) -> list[str]:
    """Names of the freedoms that change the function, and "all" where only all of them together do."""
    expected = forward(state)
    wrong = []
    for freedom in spec.freedoms.all:
        for _ in range(2):
            one = Transformation.random(spec, generator, (freedom.kind,)).restrict([freedom.name])
            if _error(one, forward, state, expected) > TOLERANCE:
                wrong.append(freedom.name)
                break
    together = Transformation.random(spec, generator)
    return wrong if wrong or _error(together, forward, state, expected) <= TOLERANCE else ["all"]


def _error(one: Transformation, forward: Forward, state: Mapping[str, Tensor], expected: list[Tensor]) -> float:
    try:
        return relative_error(forward(one.apply(state)), expected)
    except SpecError as error:
        assert "variance" in str(error)  # no such scale is possible with these statistics
        return 0.0


def verified(module: nn.Module, *args: Any, **kwargs: Any) -> Spec:
    """The spec of a network, its freedoms verified in float64, controls included."""
    spec = derive(module.eval(), args, kwargs)
    program = Program(module, Inputs(args, kwargs))
    found = verify_freedoms(spec, program.outputs, randomized(program.state(), spec))
    assert found.verified, (found.wrong, found.insensitive, found.max_error)
    return spec


def freedoms(spec: Spec, *kinds: str) -> list[tuple[str, tuple[int, ...], frozenset[tuple[str, int]]]]:
    """The freedoms of some kinds, or all, in a comparable form: kind, shape of the values, {(tensor, exponent)}."""
    shapes = spec.freedoms.shape
    found = [
        (one.kind, shapes(one), frozenset((place.tensor, place.exponent) for place in one.places))
        for one in spec.freedoms.only(*(kinds or KINDS)).all
    ]
    return sorted(found, key=lambda each: (each[0], each[1], sorted(each[2])))


def expected(*entries: tuple[str, tuple[int, ...], Mapping[str, int]]) -> list[Any]:
    """Freedoms as `freedoms` gives them, from kind, shape and {tensor: exponent}."""
    return sorted(
        ((kind, shape, frozenset(places.items())) for kind, shape, places in entries),
        key=lambda each: (each[0], each[1], sorted(each[2])),
    )
