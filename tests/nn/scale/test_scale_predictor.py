"""Metanetworks that know neither scales nor signs: their symmetry, and that blocks say what the plain form says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from tests.nn import small
from tests.nn.gmn.laws import graphs
from tests.nn.scale.orbits import (
    KINDS,
    NETWORKS,
    Buffered,
    Tensordot,
    alone,
    batch,
    moved,
    of,
    recurrent,
    relu,
    some,
    tanh,
)
from tests.nn.small import Tensors, close, mlps, without_gradient
from tests.symmetry import networks
from tests.symmetry.networks import Network, with_input
from weightspace.graph import GraphLayout
from weightspace.nn.gmn import GraphPredictor
from weightspace.nn.gmn.readout import read_graph
from weightspace.nn.gmn.wiring import Wiring
from weightspace.nn.scale import ScalePredictor
from weightspace.nn.scale.signs import Signs


def predictor(taps: int = 9) -> ScalePredictor:
    torch.manual_seed(0)
    return ScalePredictor(3, 8, 3, taps=taps).double()


def on_graphs(model: ScalePredictor, layout: GraphLayout, tensors: Tensors) -> Tensor:
    settled = model.encoder.gauged(of(layout, tensors)).tensors
    states = [{name: each[place] for name, each in settled.items()} for place in range(len(settled[layout.names[0]]))]
    graph = graphs(layout, states, model.encoder.taps)
    return model.head(read_graph(graph, *model.encoder.on_graph(layout, graph)))


@pytest.mark.parametrize(("make", "taps"), [(make, 9) for make in NETWORKS] + [(networks.vgg, 2), (small.cnn, 4)])
def test_blocks_predict_what_graphs_predict(make: Callable[[], Network], taps: int) -> None:
    layout, tensors = batch(make())
    model = predictor(taps)
    model.encoder.fit_standardisation([of(layout, tensors)])
    dense, plain = model(of(layout, tensors)), on_graphs(model, layout, tensors)
    assert close(dense, plain)
    parameters = list(model.parameters())
    gradients = [
        torch.autograd.grad(output.square().sum(), parameters, allow_unused=True, materialize_grads=True)
        for output in (dense, plain)
    ]
    assert all(close(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("make", NETWORKS)
def test_neither_scales_nor_signs_nor_orders_count(make: Callable[[], Network]) -> None:
    check_invariance(*batch(make()))


@settings(max_examples=15)
@given(mlps())
def test_of_any_perceptron(make: Callable[[], Network]) -> None:
    check_invariance(*batch(make()))


def check_invariance(layout: GraphLayout, tensors: Tensors, kinds: Sequence[str] = KINDS) -> None:
    model = predictor()
    model.encoder.fit_standardisation([of(layout, tensors)])
    before = model(of(layout, tensors))
    for some_kinds in ([*kinds], *([kind] for kind in kinds)):
        assert close(model(of(layout, moved(layout.spec, tensors, some_kinds))), before)


@pytest.mark.parametrize("make", NETWORKS)
def test_every_sign_that_is_claimed_is_respected(make: Callable[[], Network]) -> None:
    layout, _ = batch(make())
    assert Signs(Wiring(layout, 9, torch.device("cpu"))).freedoms == layout.spec.freedoms.only("sign").all


def test_signs_of_units_without_nodes_are_left_alone() -> None:
    layout, tensors = batch(with_input(Tensordot(), 2, 3))
    assert len(layout.spec.freedoms.only("sign").all) == 1
    assert Signs(Wiring(layout, 9, torch.device("cpu"))).freedoms == ()
    model, other = predictor(), moved(layout.spec, tensors, ["sign"])
    assert not torch.allclose(model(of(layout, other)), model(of(layout, tensors)), rtol=1e-4)


def test_freedoms_that_change_a_buffer_are_none_of_the_weights() -> None:
    layout, tensors = batch(with_input(Buffered(), 2, 3))
    kinds = [each.kind for each in layout.spec.freedoms.all]
    assert kinds.count("scale") == kinds.count("sign") == 1
    model = predictor()
    before = model(of(layout, tensors))
    for change in (3.0, -1.0):
        assert not torch.allclose(model(of(layout, some(tensors, "second.weight", read(change)))), before, rtol=1e-4)
    check_invariance(layout, moved(layout.spec, tensors, ["permutation"]), ["permutation"])


@pytest.mark.parametrize("make", [relu, tanh, small.siren, small.cnn])
def test_a_graph_metanetwork_does_see_them(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    torch.manual_seed(0)
    model = GraphPredictor(3, 8, 3).double()
    other = moved(layout.spec, tensors, ["scale", "sign"])
    assert not torch.allclose(model(of(layout, other)), model(of(layout, tensors)), rtol=1e-4)


def first(change: float) -> Callable[[Tensor], Tensor]:
    """Changes what makes the first unit."""

    def changed(tensor: Tensor) -> Tensor:
        tensor[:, 0] *= change
        return tensor

    return changed


def read(change: float) -> Callable[[Tensor], Tensor]:
    """Changes what reads the first unit."""

    def changed(tensor: Tensor) -> Tensor:
        tensor[:, :, 0] *= change
        return tensor

    return changed


@pytest.mark.parametrize(
    ("make", "change"), [(tanh, 3.0), (small.siren, 3.0), (relu, -1.0), (small.cnn, -1.0), (networks.mlp, 3.0)]
)
def test_what_is_not_claimed_counts(make: Callable[[], Network], change: float) -> None:
    layout, tensors = batch(make())
    conv = make is small.cnn
    makes, reads = ("3", "7") if conv else ("0", "2")
    other = some(tensors, f"{makes}.weight", first(change))
    other = some(other, f"{makes}.bias", first(change))
    other = some(other, f"{reads}.weight", read(1 / change))
    model = predictor()
    assert not torch.allclose(model(of(layout, other)), model(of(layout, tensors)), rtol=1e-4)


@pytest.mark.parametrize("make", [relu, tanh])
def test_other_functions_are_other_networks(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    model = predictor()
    before = model(of(layout, tensors))
    for change in (first(-2.0), read(-2.0), lambda weight: weight.flip(1)):
        other = model(of(layout, some(tensors, "2.weight", change)))
        assert not torch.allclose(other, before, rtol=1e-4)


def test_the_sign_of_one_weight_counts_though_those_of_units_do_not() -> None:
    layout, tensors = batch(tanh())

    def flipped(weight: Tensor) -> Tensor:
        weight[:, 0, 0] *= -1
        return weight

    model = predictor()
    before, after = model(of(layout, tensors)), model(of(layout, some(tensors, "2.weight", flipped)))
    assert not torch.allclose(after, before, rtol=1e-4)


@pytest.mark.parametrize("make", [tanh, small.cnn, networks.residual, recurrent])
def test_alone_it_is_what_it_is_in_any_batch(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    tensors[layout.names[0]][1, 0] = 0
    model = predictor().eval()
    together = model(of(layout, tensors))
    assert close(torch.cat([model(alone(layout, tensors, place)) for place in range(3)]), together)
    assert torch.equal(model(of(layout, tensors)), together)


def test_gradients_reach_every_parameter_and_the_weights() -> None:
    layout, tensors = batch(tanh())
    given = {name: each.requires_grad_() for name, each in tensors.items()}
    model = predictor()
    model(of(layout, given)).square().sum().backward()
    assert without_gradient(model) == []
    assert all(each.grad is not None and bool(each.grad.any()) for each in given.values())


@pytest.mark.parametrize("make", [relu, tanh, small.cnn])
def test_zeros_are_weights(make: Callable[[], Network]) -> None:
    layout, tensors = batch(make())
    model = predictor()
    zeros = {name: torch.zeros_like(each).requires_grad_() for name, each in tensors.items()}
    output = model(of(layout, zeros))
    output.square().sum().backward()
    assert bool(output.isfinite().all())
    assert all(each.grad is None or bool(each.grad.isfinite().all()) for each in model.parameters())


def test_a_saved_model_is_the_same_model() -> None:
    layout, tensors = batch(small.cnn())
    one, other = predictor(), ScalePredictor(3, 8, 3).double()
    one.encoder.fit_standardisation([of(layout, tensors)])
    assert not close(one(of(layout, tensors)), other(of(layout, tensors)))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(of(layout, tensors)), other(of(layout, tensors)))
    assert float(one.encoder.lift.mean.abs().max()) == 0
