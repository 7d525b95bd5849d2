"""Predictions from what networks answer to learned inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nn import small
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SourceError, SpecError
from weightspace.nn.probes import FreeProbes, ProbeGenerator, ProbeModel
from weightspace.source import Inputs, Program
from weightspace.symmetry import derive

KINDS = [networks.mlp, networks.attention, small.siren, small.cnn]


def model_and_batch(
    make: Callable[[], Network], *, activations: bool = False, free: bool = False
) -> tuple[ProbeModel, small.Tensors, small.Spec]:
    program, spec = small.program_of(make)
    shape = tuple(program.inputs.tensors()[0].shape[1:])
    torch.manual_seed(0)
    probes = FreeProbes(torch.randn(4, *shape)) if free else ProbeGenerator(4, shape, latent=3, hidden=5)
    model = ProbeModel(program, spec, probes, 2, activations=activations, hidden=16).double().eval()
    return model, small.random_networks(spec, 3), spec


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("activations", [False, True])
def test_permutations_do_not_count(make: Callable[[], Network], activations: bool) -> None:
    model, batch, spec = model_and_batch(make, activations=activations)
    copies = small.permuted(spec, batch)
    assert any(not torch.equal(copies[name], batch[name]) for name in batch)
    found = model(batch)
    assert found.shape == (3, 2)
    assert small.close(model(copies), found)
    assert not small.close(found[0], found[1], 1e-4)


@settings(max_examples=12)
@given(small.mlps(), st.booleans())
def test_permutations_of_any_network_do_not_count(make: Callable[[], Network], activations: bool) -> None:
    model, batch, spec = model_and_batch(make, activations=activations)
    assert small.close(model(small.permuted(spec, batch)), model(batch))


def test_signs_of_units_count_in_activations_only() -> None:
    model, batch, _ = model_and_batch(small.siren)
    flipped = dict(batch)
    for name in ("0.weight", "0.bias"):
        flipped[name] = -batch[name]
    flipped["2.weight"] = -batch["2.weight"]
    assert small.close(model(flipped), model(batch))
    with_activations, _, _ = model_and_batch(small.siren, activations=True)
    assert not small.close(with_activations(flipped), with_activations(batch), 1e-4)


@pytest.mark.parametrize("activations", [False, True])
@pytest.mark.parametrize("free", [False, True])
def test_alone_as_in_a_batch_deterministic_and_trained_throughout(activations: bool, free: bool) -> None:
    model, batch, _ = model_and_batch(small.cnn, activations=activations, free=free)
    found = model(batch)
    assert small.close(torch.cat([model(small.one(batch, place)) for place in range(3)]), found)
    assert torch.equal(model(batch), found)
    found.square().sum().backward()
    assert small.without_gradient(model) == []


def test_state_round_trip_and_copies() -> None:
    model, batch, spec = model_and_batch(small.cnn)
    torch.manual_seed(1)
    probes = ProbeGenerator(4, (1, 9, 9), latent=3, hidden=5)
    other = ProbeModel(model.program, spec, probes, 2, hidden=16).double()
    assert not torch.equal(other(batch), model(batch))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(batch), model(batch))
    assert torch.equal(copy.deepcopy(model)(batch), model(batch))


@pytest.mark.parametrize("make", [small.siren, networks.mlp])
def test_zero_weights_are_no_nan(make: Callable[[], Network]) -> None:
    model, batch, _ = model_and_batch(make, activations=True)
    found = model({name: torch.zeros_like(each) for name, each in batch.items()})
    found.sum().backward()
    assert bool(found.isfinite().all())
    assert all(bool(each.grad.isfinite().all()) for each in model.parameters() if each.grad is not None)


def test_networks_run_in_the_type_of_their_weights() -> None:
    model, batch, _ = model_and_batch(small.cnn)
    model.float()
    half = {name: each.to(torch.bfloat16) for name, each in batch.items()}
    wanted = model({name: each.float() for name, each in half.items()})
    assert torch.equal(model(half), wanted)
    assert model(batch).dtype == torch.float32


def test_weights_take_gradients_too() -> None:
    model, batch, _ = model_and_batch(small.siren, activations=True)
    leaves = {name: each.requires_grad_() for name, each in batch.items()}
    model(leaves).square().sum().backward()
    assert all(each.grad is not None and bool(each.grad.any()) for each in leaves.values())


def test_what_cannot_be_probed_is_refused() -> None:
    program, spec = small.program_of(networks.mlp)
    with pytest.raises(SpecError, match=r"expected inputs of shape \(6,\) .* found \(5,\)"):
        ProbeModel(program, spec, ProbeGenerator(2, (5,)), 1)
    tokens = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 2))
    ids = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(SpecError, match=r"one floating input, found inputs torch.int64"):
        ProbeModel(Program(tokens, Inputs((ids,))), derive(tokens, (ids,)), ProbeGenerator(2, (3,)), 1)
    module, args, kwargs = networks.cross_attention()
    with pytest.raises(SpecError, match=r"found inputs torch.float32, torch.float32"):
        ProbeModel(Program(module, Inputs(args, kwargs)), derive(module, args, kwargs), ProbeGenerator(2, (5, 3)), 1)
    model, batch, _ = model_and_batch(networks.mlp)
    del batch["2.bias"]
    with pytest.raises(SpecError, match=r"'2.bias'"):
        model(batch)


def test_units_that_cannot_be_seen_are_refused() -> None:
    # Its operators on a CPU are others than on meta tensors; outputs alone do.
    program, spec = small.program_of(networks.gru)
    probes = ProbeGenerator(2, (4, 3))
    assert ProbeModel(program, spec, probes, 1)(small.random_networks(spec, 2)).shape == (2, 1)
    with pytest.raises(SourceError, match="its activations cannot be told apart"):
        ProbeModel(program, spec, probes, 1, activations=True)
