"""Weights in a gauge know no scales of units, and are those of the same function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.func import functional_call

from tests.nn.scale.orbits import NETWORKS, alone, batch, moved, of, relu, tanh
from tests.nn.small import Tensors, close, mlps
from tests.symmetry import networks
from tests.symmetry.networks import Network, with_input
from weightspace.graph import GraphLayout
from weightspace.nn.scale.gauge import Gauge


def gauged(layout: GraphLayout, tensors: Tensors) -> Tensors:
    return dict(Gauge(layout, torch.device("cpu"))(of(layout, tensors)).tensors)


def same(one: Tensors, other: Tensors) -> bool:
    return all(close(one[name], other[name]) for name in one)


@pytest.mark.parametrize("make", NETWORKS)
def test_scales_do_not_count(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    assert same(gauged(layout, moved(layout.spec, tensors, ["scale"])), gauged(layout, tensors))
    assert same(gauged(layout, gauged(layout, tensors)), gauged(layout, tensors))


@settings(max_examples=10)
@given(mlps())
def test_of_any_perceptron(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    assert same(gauged(layout, moved(layout.spec, tensors, ["scale"])), gauged(layout, tensors))


@pytest.mark.parametrize("make", [relu, networks.vgg, networks.depthwise_separable, networks.residual])
def test_the_function_stays(make: Callable[[], Network]) -> None:
    network, (x,), _ = make()
    network, x = network.double().eval(), x.double()
    layout, tensors = batch((network.float(), (x.float(),), {}))
    network.double()
    settled = gauged(layout, tensors)
    for place in range(3):
        before, after = (
            functional_call(network, {name: each[place] for name, each in state.items()}, (x,))
            for state in (tensors, settled)
        )
        assert close(before, after, 1e-8)
    assert not same(settled, tensors)


def test_units_have_length_one() -> None:
    layout, tensors = batch(relu())
    settled = gauged(layout, tensors)
    for number in ("0", "2"):
        lengths = settled[f"{number}.weight"].square().sum(2) + settled[f"{number}.bias"].square()
        assert close(lengths, torch.ones_like(lengths))


def test_what_the_spec_does_not_claim_stays() -> None:
    layout, tensors = batch(tanh())
    assert all(torch.equal(gauged(layout, tensors)[name], tensors[name]) for name in tensors)
    layout, tensors = batch(relu())
    last = {**tensors, "4.bias": 2 * tensors["4.bias"]}
    assert not same(gauged(layout, last), gauged(layout, tensors))


def test_units_that_nothing_makes_take_their_scale_from_what_reads_them() -> None:
    layout, tensors = batch(relu())
    for name in ("0.weight", "0.bias"):
        tensors[name][:, 0] = 0  # dead, but read
    tensors["2.weight"][1, :, 2] = 0  # alive, but not read
    for name in ("2.weight", "2.bias"):
        tensors[name][2, 3] = 0
    settled = gauged(layout, tensors)
    assert same(gauged(layout, moved(layout.spec, tensors, ["scale"])), settled)
    assert bool((settled["2.weight"][:, :, 0] != 0).any(1).all())


def test_what_no_path_through_the_network_uses_is_nothing() -> None:
    layout, tensors = batch(relu(), 2)
    for name in ("0.weight", "0.bias"):
        tensors[name][0, 0] = 0
    tensors["2.weight"][0, 1, 1:] = 0
    tensors["2.bias"][0, 1] = 0
    tensors["4.weight"][0, :, 1] = 0
    tensors["2.weight"][0, [0, 2, 3], 0] = 0  # unit 0 is made of nothing, and leads to unit 1, which leads nowhere
    assert float(tensors["2.weight"][0, 1, 0]) != 0
    settled = gauged(layout, tensors)
    assert same(gauged(layout, moved(layout.spec, tensors, ["scale"])), settled)
    assert float(settled["2.weight"][0, 1, 0]) == 0
    assert close(settled["2.weight"][1], gauged(layout, dict(alone(layout, tensors, 1).tensors))["2.weight"][0])


def test_zeros_stay_zeros() -> None:
    layout, tensors = batch(with_input(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), 2, 2))
    zeros = {name: torch.zeros_like(each).requires_grad_() for name, each in tensors.items()}
    settled = gauged(layout, zeros)
    assert all(not bool(each.any()) for each in settled.values())
    torch.stack([each.sum() for each in settled.values()]).sum().backward()
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in zeros.values())


def test_gradients() -> None:
    layout, tensors = batch(with_input(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), 2, 2), 1)
    names = list(tensors)
    given = [tensors[name].requires_grad_() for name in names]

    def settle(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(gauged(layout, dict(zip(names, values, strict=True))).values())

    assert torch.autograd.gradcheck(settle, given)


def test_tiny_and_huge_weights_in_single_precision() -> None:
    layout, tensors = batch(relu())
    scaled = {
        "0.weight": 1e-25 * tensors["0.weight"], "0.bias": 1e-25 * tensors["0.bias"],
        "2.weight": 1e25 * tensors["2.weight"],
    }  # fmt: skip
    narrow = {name: each.float() for name, each in {**tensors, **scaled}.items()}
    settled, expected = gauged(layout, narrow), gauged(layout, tensors)
    assert all(torch.allclose(settled[name].double(), expected[name], rtol=1e-5, atol=1e-6) for name in expected)
    assert settled["0.weight"].dtype == torch.float32
