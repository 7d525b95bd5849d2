"""One mean and one deviation per tensor."""

from __future__ import annotations

import pytest
import torch

from weightspace.errors import SpecError
from weightspace.nn.standardise import Standardise


def test_every_tensor_has_mean_0_and_deviation_1() -> None:
    tensors = {"a": 3 + 5 * torch.randn(6, 4, 2, dtype=torch.float64), "b": 1e-4 * torch.randn(6, 7).double()}
    module = Standardise(("b", "a")).double()
    assert all(torch.equal(module(tensors)[name], tensors[name]) for name in tensors)
    module.fit(tensors)
    for each in module(tensors).values():
        assert float(each.mean().abs()) < 1e-12
        assert float((each.std(correction=0) - 1).abs()) < 1e-12


def test_constant_tensors_keep_their_scale() -> None:
    module = Standardise(("a",))
    module.fit({"a": torch.full((10, 3), 0.1)})
    assert torch.allclose(module({"a": torch.full((2, 3), 0.3)})["a"], torch.full((2, 3), 0.2))
    module.fit({"a": torch.zeros(10, 3)})
    assert torch.equal(module({"a": torch.zeros(2, 3)})["a"], torch.zeros(2, 3))
    module.fit({"a": torch.zeros(10, 0)})
    assert module({"a": torch.zeros(2, 0)})["a"].shape == (2, 0)


def test_what_was_measured_is_saved() -> None:
    module, other = Standardise(("a",)), Standardise(("a",))
    module.fit({"a": torch.tensor([[1.0, 5.0]])})
    other.load_state_dict(module.state_dict())
    assert other({"a": torch.tensor([[1.0, 5.0]])})["a"].tolist() == [[-1.0, 1.0]]


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(SpecError, match="'a': expected among the weights"):
        Standardise(("a",))({"b": torch.zeros(1, 1)})
