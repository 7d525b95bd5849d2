"""Signs where permutations come from data: units that always fire oppositely are alike, and the weights say which."""

from __future__ import annotations

import pytest
import torch

from tests.align.freedoms.networks import (
    NETWORKS,
    convolutions,
    distance,
    noisy,
    planted,
    siren,
    three_layers,
    two_layers,
    with_weights,
)
from tests.align.networks import built_of
from tests.align.oracle import inner_product
from weightspace.align import align
from weightspace.align.freedoms.signed import settle_signs
from weightspace.source import Inputs
from weightspace.symmetry import Transformation, randomized

CPU = torch.device("cpu")


@pytest.mark.parametrize("build", [two_layers, three_layers, convolutions, siren])
def test_a_planted_transformation_comes_back_from_data(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a = randomized(program.state(), spec, 0)
    _, b = planted(spec, a, 1)
    example = program.inputs.primary()
    assert example is not None
    calls = [Inputs((torch.randn(200, *example.shape[1:]),)) for _ in range(2)]
    found, unsigned = (
        align(a, b, spec, method="activations", program=program, batches=lambda: calls, kinds=kinds)
        for kinds in (("permutation", "sign"), ("permutation",))
    )
    assert distance(found.transformation.apply(b), a) < 1e-6
    assert distance(unsigned.transformation.apply(b), a) > 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_signs_alone_never_lower_the_objective(name: str):
    spec, a = with_weights(NETWORKS[name], 0)
    _, b = planted(spec, noisy(a, 0.5, 3), 1)
    found = settle_signs(a, b, spec, device=CPU)
    assert found.element.is_identity()
    again = settle_signs(a, found.apply(b), spec, device=CPU)
    assert all(bool((value > 0).all()) for value in again.values.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_planted_signs_come_back(name: str):
    spec, a = with_weights(NETWORKS[name], 0)
    b = Transformation.random(spec, torch.Generator().manual_seed(2), ("sign",)).apply(a)
    before = inner_product(spec, a, b)
    found = settle_signs(a, b, spec, device=CPU).apply(b)
    assert inner_product(spec, a, found) > before
