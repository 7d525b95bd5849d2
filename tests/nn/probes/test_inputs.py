"""Learned inputs."""

from __future__ import annotations

import pytest
import torch

from tests.nn.small import close, without_gradient
from weightspace.errors import SpecError
from weightspace.nn.probes import FreeProbes, ProbeGenerator

SHAPES = [(2,), (1, 28, 28), (3, 9, 6), (1, 3, 3), (5, 7)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_generator_makes_probes_of_any_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    probes = ProbeGenerator(4, shape, latent=3, hidden=5).double()
    made = probes()
    assert made.shape == probes.shape == (4, *shape)
    made.square().sum().backward()
    assert without_gradient(probes) == []
    other = ProbeGenerator(4, shape, latent=3, hidden=5).double()
    other.load_state_dict(probes.state_dict())
    assert torch.equal(other(), made)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_generator_is_affine_in_the_codes(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    probes = ProbeGenerator(3, shape, latent=3, hidden=5).double()
    with torch.no_grad():
        probes.codes[2] = 0.3 * probes.codes[0] + 0.7 * probes.codes[1]
    first, second, between = probes().detach()
    assert close(between, 0.3 * first + 0.7 * second)


def test_free_probes_start_where_they_are_put() -> None:
    start = torch.randn(3, 1, 4, 4)
    probes = FreeProbes(start)
    assert torch.equal(probes(), start)
    assert probes.shape == (3, 1, 4, 4)
    assert probes.values.requires_grad
    assert probes.values.data_ptr() != start.data_ptr()


def test_probes_that_cannot_be_learned_are_refused() -> None:
    with pytest.raises(SpecError, match="expected floating inputs"):
        FreeProbes(torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(SpecError, match="expected floating inputs"):
        FreeProbes(torch.zeros(0, 4))
    with pytest.raises(SpecError, match="expected at least one"):
        ProbeGenerator(0, (2,))
