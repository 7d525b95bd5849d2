"""The flat baseline."""

from __future__ import annotations

import pytest
import torch

from tests.nn import small
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.blocks import Blocks
from weightspace.nn.flat import FlatMLP


def model_and_batch(names: list[str] | None = None) -> tuple[FlatMLP, small.Tensors]:
    _, spec = small.program_of(networks.mlp)
    batch = small.random_networks(spec, 6)
    torch.manual_seed(0)
    model = FlatMLP(Blocks(spec, names), 2, hidden=16).double().eval()
    model.fit(batch)
    return model, batch


def test_the_order_of_the_tensors_does_not_count() -> None:
    model, batch = model_and_batch()
    assert torch.equal(model(dict(reversed(batch.items()))), model(batch))


def test_a_network_is_predicted_alone_as_in_a_batch() -> None:
    model, batch = model_and_batch()
    assert small.close(torch.cat([model(small.one(batch, place)) for place in range(6)]), model(batch))


def test_it_is_not_invariant() -> None:
    model, batch = model_and_batch()
    assert not small.close(model(small.permuted(model.blocks.spec, batch)), model(batch), 1e-3)


def test_gradients_and_state() -> None:
    model, batch = model_and_batch(["0.weight", "4.bias"])
    model(batch).square().sum().backward()
    assert small.without_gradient(model) == []
    other = FlatMLP(model.blocks, 2, hidden=16).double().eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(batch), model(batch))
    assert bool(model({name: torch.zeros_like(each) for name, each in batch.items()}).isfinite().all())


def test_a_missing_tensor_is_named() -> None:
    model, batch = model_and_batch()
    del batch["0.bias"]
    with pytest.raises(SpecError, match=r"'0.bias'"):
        model(batch)
