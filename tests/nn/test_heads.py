"""The prediction head."""

from __future__ import annotations

import pytest
import torch

from tests.nn.small import close, without_gradient
from weightspace.nn.heads import InvariantHead


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_network_is_predicted_alone_as_in_a_batch(depth: int) -> None:
    head = InvariantHead(7, 3, hidden=8, depth=depth).double()
    features = torch.randn(5, 7, dtype=torch.float64)
    together = head(features)
    assert together.shape == (5, 3)
    assert close(torch.cat([head(features[place : place + 1]) for place in range(5)]), together)
    together.square().sum().backward()
    assert without_gradient(head) == []


def test_features_of_nothing_are_no_nan() -> None:
    assert bool(InvariantHead(7, 3)(torch.zeros(2, 7)).isfinite().all())
