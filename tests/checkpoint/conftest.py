"""Checkpoints as the tests write them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """A small state dict: matrices, a batch-norm counter, a half-precision vector, a scalar and an empty tensor."""
    generator = torch.Generator().manual_seed(0)
    return {
        "fc2.weight": torch.randn(3, 4, generator=generator),
        "fc10.weight": torch.randn(2, 3, generator=generator),
        "bn.num_batches_tracked": torch.tensor(7),
        "bn.bias": torch.randn(3, generator=generator).bfloat16(),
        "mask": torch.tensor([True, False]),
        "scale": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture(params=["zip", "legacy"])
def torch_save(request: pytest.FixtureRequest) -> Callable[[object, Path], Path]:
    """torch.save in either of its two file formats."""

    def save(value: object, path: Path) -> Path:
        torch.save(value, path, _use_new_zipfile_serialization=request.param == "zip")
        return path

    return save


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """Assert that two mappings hold the same names in the same order, with equal tensors of equal types."""

    def check(found, expected) -> None:
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, name
            assert found[name].shape == tensor.shape, name
            assert torch.equal(found[name], tensor), name

    return check
