"""A problem whose B changes its signs, against one that was given B with these signs."""

from __future__ import annotations

import pytest
import torch

from tests.align.freedoms.networks import cnn, convolutions, gated, gru, planted, with_weights
from tests.align.networks import mlp
from weightspace.align.freedoms.sign_layout import sign_layouts
from weightspace.align.freedoms.sign_state import SignState
from weightspace.align.problem import Problem
from weightspace.symmetry import Transformation

CPU = torch.device("cpu")


@pytest.mark.parametrize("build", [mlp, convolutions, gated, cnn, gru])
def test_values_and_costs_follow_the_signs(build):
    spec, a = with_weights(build, 0)
    _, b = with_weights(build, 1)
    start, _ = planted(spec, b, 2)
    signs = SignState(spec, sign_layouts(spec), start.values)
    problem = Problem(a, b, spec, CPU, change=signs.act)
    generator = torch.Generator().manual_seed(3)

    def same_as_given(expected: Transformation) -> None:
        given = Problem(a, expected.apply(b), spec, CPU)
        for ours, theirs in zip(problem.terms, given.terms, strict=True):
            assert torch.equal(problem.b(ours), given.b(theirs))
        for group in spec.groups:
            assert torch.allclose(problem.scores(group.name), given.scores(group.name), atol=1e-5)

    same_as_given(Transformation(spec, spec.identity(), start.values))
    problem.move_to(start.element)
    same_as_given(start)
    for group, layout in signs.layouts.items():
        size = len(problem.element.perm(group))
        flips = {name: 2.0 * torch.randint(0, 2, (size,), generator=generator).double() - 1 for name in layout.freedoms}
        before = signs.transformation(problem)
        signs.flip(problem, group, flips)
        same_as_given(before.then(Transformation(spec, spec.identity(), flips)))
        same_as_given(signs.transformation(problem))
    signs.put(problem, start)
    same_as_given(start)
    signs.put(problem, Transformation.identity(spec))
    same_as_given(Transformation.identity(spec))
