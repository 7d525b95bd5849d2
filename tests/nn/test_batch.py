"""What a batch of networks must be."""

from __future__ import annotations

import pytest
import torch

from weightspace.errors import SpecError
from weightspace.nn.batch import networks_in

SHAPES = {"weight": (3, 2), "bias": (3,), "scale": ()}


def good() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(4, *shape) for name, shape in SHAPES.items()} | {"more": torch.zeros(1)}


def test_networks_are_counted() -> None:
    assert networks_in(good(), SHAPES) == 4


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("bias", torch.zeros(4, 2), r"'bias': expected networks of shape \(3,\), .* found \(4, 2\)"),
        ("scale", torch.zeros(()), r"'scale': expected networks of shape \(\), .* found \(\)"),
        ("bias", torch.zeros(5, 3), r"'bias': expected 4 networks .* found 5"),
    ],
)
def test_what_does_not_fit_is_named(name: str, tensor: torch.Tensor, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        networks_in(good() | {name: tensor}, SHAPES)


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(SpecError, match=r"'bias': .* found none"):
        networks_in({"weight": torch.zeros(4, 3, 2)}, SHAPES)
    with pytest.raises(SpecError, match="at least one tensor"):
        networks_in(good(), {})
