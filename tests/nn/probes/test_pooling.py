"""Activations pooled over units."""

from __future__ import annotations

import torch

from tests.nn.small import close
from weightspace.nn.probes.pooling import pooled


def test_the_order_of_units_and_positions_does_not_count() -> None:
    values = torch.randn(2, 6, 3, 5, dtype=torch.float64)  # three probes at two positions, three heads of five
    found = pooled(values, 3)
    assert found.shape == (2, 6)
    assert close(pooled(values[:, :, [2, 0, 1]][..., [4, 3, 0, 1, 2]], 3), found)
    assert close(found[0, 0], values[0, :2].mean())
    assert close(found[0, 3], values[0, :2].square().mean().sqrt())
    assert pooled(values, 4).shape == (2, 2)


def test_dead_units_have_a_gradient() -> None:
    values = torch.zeros(1, 2, 3, requires_grad=True)
    pooled(values, 2).sum().backward()
    assert values.grad is not None
    assert bool(values.grad.isfinite().all())
