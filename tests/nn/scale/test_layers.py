"""Layers on elements that are known up to a scale or a sign."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nn.scale.test_canonical import SEEDS, elements
from tests.nn.small import close, without_gradient
from weightspace.errors import SpecError
from weightspace.nn.scale import EquivariantLayer, EquivariantProduct, Freedom, InvariantLayer

FREEDOMS = st.sampled_from(get_args(Freedom))
LEADING = st.lists(st.integers(1, 3), max_size=3)
CHANNELS = st.integers(1, 4)


def factors(freedom: str, leading: list[int], seed: int) -> torch.Tensor:
    """One positive factor or sign per element."""
    drawn = elements([*leading, 1], seed)
    return drawn.exp() if freedom == "scale" else drawn.sign()


@given(FREEDOMS, LEADING, CHANNELS, CHANNELS, SEEDS)
def test_layers_respect_their_freedom(freedom: Freedom, leading: list[int], c: int, d: int, seed: int) -> None:
    torch.manual_seed(seed)
    equivariant = EquivariantLayer(freedom, c, d, hidden=6).double()
    invariant = InvariantLayer(freedom, c, d, hidden=6).double()
    x, s = elements([*leading, c], seed), factors(freedom, leading, seed + 1)
    assert equivariant(x).shape == (*leading, d)
    assert close(equivariant(s * x), s * equivariant(x))
    assert close(invariant(s * x), invariant(x))


@given(FREEDOMS, LEADING, CHANNELS, CHANNELS, SEEDS)
def test_a_message_is_scaled_as_the_unit_that_it_goes_to(
    freedom: Freedom, leading: list[int], c: int, d: int, seed: int
) -> None:
    torch.manual_seed(seed)
    product, layer = EquivariantProduct(c, d, 4).double(), EquivariantLayer(freedom, 4, 3, hidden=6).double()
    weight, source = elements([*leading, c], seed), elements([*leading, d], seed + 1)
    here, there = factors(freedom, leading, seed + 2), factors(freedom, leading, seed + 3)
    message = layer(product(weight, source))
    assert close(layer(product(here / there * weight, there * source)), here * message)


@pytest.mark.parametrize("freedom", get_args(Freedom))
def test_they_are_not_blind(freedom: Freedom) -> None:
    torch.manual_seed(0)
    equivariant, invariant = EquivariantLayer(freedom, 3, 4, hidden=6).double(), InvariantLayer(freedom, 3, 4, hidden=6)
    x, y = elements([3], 0), elements([3], 1)
    nonlinear = equivariant(x + y) - equivariant(x) - equivariant(y)
    assert bool(nonlinear.norm() > 1e-3 * equivariant(x).norm())
    assert not close(invariant.double()(x), invariant(y), 1e-3)
    assert not close(equivariant(2 * x) if freedom == "sign" else equivariant(-x), equivariant(x), 1e-3)


@pytest.mark.parametrize("freedom", get_args(Freedom))
@pytest.mark.parametrize("kind", [EquivariantLayer, InvariantLayer])
def test_gradients_zeros_and_state(freedom: Freedom, kind: type[EquivariantLayer] | type[InvariantLayer]) -> None:
    torch.manual_seed(0)
    layer = kind(freedom, 3, 4, hidden=6).double()
    x = elements([5, 3], 0).requires_grad_()
    layer(torch.cat([x, torch.zeros_like(x)])).square().sum().backward()
    assert without_gradient(layer) == []
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    other = kind(freedom, 3, 4, hidden=6).double()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("freedom", get_args(Freedom))
def test_an_element_of_zeros_stays_zero_and_harms_no_gradient(freedom: Freedom) -> None:
    layer = EquivariantLayer(freedom, 3, 4, hidden=6)
    x = torch.zeros(2, 3, requires_grad=True)
    result = layer(x)
    assert torch.equal(result, torch.zeros(2, 4))
    result.sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_another_freedom_is_refused() -> None:
    with pytest.raises(SpecError, match="freedom 'phase': expected one of scale, sign"):
        EquivariantLayer("phase", 3, 4, hidden=6)  # type: ignore[arg-type]
