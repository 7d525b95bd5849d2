"""Nearest values of single freedoms, against exhaustive or iterative search."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weightspace.align.freedoms.gram import Gram
from weightspace.align.freedoms.nearest import matching_factor, nearest_map, nearest_rotation, nearest_turn

N = 5


def rows(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram(exponent: int, a: Tensor, b: Tensor) -> Gram:
    return Gram(exponent, b @ b.mT, a @ b.mT)


def cost(matrix: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> float:
    return float((a - matrix @ b).square().sum() + (c - torch.linalg.inv(matrix).mT @ d).square().sum())


@pytest.mark.parametrize("centred", [False, True])
def test_a_rotation_is_orthogonal_and_no_other_one_nearby_is_nearer(centred: bool):
    a, b = rows(0, N, 9), rows(1, N, 9)
    value = nearest_rotation([gram(1, a, b)], centred=centred)
    assert torch.allclose(value @ value.mT, torch.eye(N, dtype=torch.float64))
    if centred:
        assert torch.allclose(value.sum(0), torch.ones(N, dtype=torch.float64))
    least = (a - value @ b).square().sum()
    generator = torch.Generator().manual_seed(2)
    for size in (1e-3, 1e-1, 1.0):
        for _ in range(50):
            step = size * torch.randn(N, N, generator=generator, dtype=torch.float64)
            step = step - step.mT
            if centred:
                step = step - step.mean(0, keepdim=True)
                step = step - step.mean(1, keepdim=True)
            other = torch.linalg.matrix_exp(step) @ value
            assert (a - other @ b).square().sum() >= least - 1e-9


def test_a_planted_rotation_that_keeps_ones_is_found():
    basis, _ = torch.linalg.qr(torch.cat([torch.ones(N, 1, dtype=torch.float64), rows(3, N, N - 1)], 1))
    inside = torch.eye(N, dtype=torch.float64)
    inside[1:, 1:] = torch.linalg.qr(rows(4, N - 1, N - 1))[0]
    planted = basis @ inside @ basis.T
    b = rows(5, N, 7)
    assert torch.allclose(nearest_rotation([gram(1, planted @ b, b)], centred=True), planted, atol=1e-10)


def test_a_planted_invertible_map_is_found_far_from_orthogonal():
    planted = torch.linalg.qr(rows(6, N, N))[0] @ torch.diag(torch.tensor([0.5, 0.8, 1.0, 1.5, 2.0]).double())
    b, d = rows(7, N, 20), rows(8, N, 20)
    a, c = planted @ b, torch.linalg.inv(planted).mT @ d
    value = nearest_map([gram(1, a, b), gram(-1, c, d)])
    assert cost(value, a, b, c, d) < 1e-6 * float(a.square().sum())


def test_an_invertible_map_is_no_farther_than_the_rotation_it_starts_from():
    a, b, c, d = (rows(seed, 2, 3, N, 8) for seed in range(9, 13))
    found = [gram(1, a, b), gram(-1, c, d)]
    mapped, rotated = nearest_map(found), nearest_rotation(found, centred=False)
    assert mapped.shape == (2, 3, N, N)
    assert cost(mapped, a, b, c, d) < cost(rotated, a, b, c, d)


def factor_grams(*places: tuple[int, Tensor, Tensor]) -> list[Gram]:
    return [Gram(e, (b * b).sum(-1), (a * b).sum(-1), (a * a).sum(-1)) for e, a, b in places]


def test_a_planted_factor_is_found():
    factor = rows(13, 40).exp()
    b, d = rows(14, 40, 6), rows(15, 40, 3)
    found = factor_grams((1, factor[:, None] * b, b), (-2, d / factor[:, None].square(), d))
    assert torch.allclose(matching_factor(found), factor)
    assert torch.allclose(matching_factor(found, smallest=factor + 1), factor + 1)


def test_a_factor_evens_the_norms_of_unrelated_units_and_shrinks_none():
    a, b = rows(16, 40, 6), rows(17, 40, 6)
    value = matching_factor(factor_grams((1, a, b)))
    assert torch.allclose((value[:, None] * b).norm(dim=-1), a.norm(dim=-1))


def test_dead_units_keep_their_factor():
    none, some = torch.zeros(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    found = factor_grams((1, none, none), (-1, some, none), (2, none, some))
    assert torch.equal(matching_factor(found), torch.ones(3, dtype=torch.float64))


def test_planted_turns_are_found():
    shape = (2, 4)
    z = torch.polar(torch.rand(shape).double() + 0.5, 6.28 * torch.rand(shape).double())
    q, k = (torch.view_as_complex(rows(seed, *shape, 6, 2)) for seed in (18, 19))
    a, c = z[..., None] * q, k / z.conj()[..., None]
    found = [
        Gram(e, (y * y.conj()).real.sum(-1), (x * y.conj()).sum(-1), (x * x.conj()).real.sum(-1))
        for e, x, y in ((1, a, q), (-1, c, k))
    ]
    assert torch.allclose(nearest_turn(found), z, atol=1e-8)
