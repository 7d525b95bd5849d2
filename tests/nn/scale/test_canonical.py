"""Canonical forms of scales and signs."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nn.small import close, without_gradient
from weightspace.nn.scale import CanonicalScale, CanonicalSign, canonical_scale

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
SEEDS = st.integers(0, 2**31)


def elements(shape: list[int], seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(SHAPES, SEEDS, st.floats(-150, 150))
def test_a_positive_scale_does_not_count(shape: list[int], seed: int, exponent: float) -> None:
    x = elements(shape, seed)
    canonical = canonical_scale(x)
    assert close(canonical.norm(dim=-1), torch.ones(shape[:-1], dtype=torch.float64))
    assert close(canonical_scale(10**exponent * x), canonical)
    assert close(canonical_scale(-x), -canonical)
    assert torch.equal(CanonicalScale(shape[-1])(x), canonical)


def test_zero_has_a_canonical_form_and_a_gradient() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    canonical = canonical_scale(x)
    assert canonical.tolist() == [[0.0, 0.0], [0.6, 0.8]]
    (canonical * torch.tensor([1.0, 0.0])).sum().backward()
    assert x.grad is not None
    assert close(x.grad, torch.tensor([[0.0, 0.0], [0.16 * 4 / 5, -0.12 * 4 / 5]], dtype=torch.float64), 1e-6)


def test_its_gradient_is_right() -> None:
    assert torch.autograd.gradcheck(canonical_scale, (elements([3, 4], 0).requires_grad_(),))


def test_no_number_becomes_one_silently() -> None:
    assert bool(canonical_scale(torch.tensor([1.0, torch.nan])).isnan().any())


@given(SHAPES, SEEDS)
def test_a_sign_does_not_count(shape: list[int], seed: int) -> None:
    x = elements(shape, seed)
    torch.manual_seed(seed)
    canonical = CanonicalSign(shape[-1], 5).double()
    assert canonical(x).shape == (*shape[:-1], 5)
    assert torch.equal(canonical(-x), canonical(x))
    signs = elements([*shape[:-1], 1], seed + 1).sign()
    assert close(canonical(signs * x), canonical(x))


def test_the_sign_form_tells_elements_apart_and_learns() -> None:
    torch.manual_seed(0)
    canonical = CanonicalSign(3, 6).double()
    x = elements([2, 3], 0)
    assert not close(canonical(x[0]), canonical(x[1]), 1e-3)
    canonical(x).square().sum().backward()
    assert without_gradient(canonical) == []
    assert bool(canonical(torch.zeros(3, dtype=torch.float64)).isfinite().all())
