"""Graph metanetworks: dense blocks say what the plain form says, and what they claim of symmetry holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch_geometric.data import Batch

from tests.nn.gmn import laws
from tests.nn.gmn.laws import KINDS, batch, graphs
from tests.nn.small import close
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.graph import to_graph
from weightspace.nn.gmn import GraphEditor, GraphPredictor, Stacked


def predictor(**options: int) -> GraphPredictor:
    torch.manual_seed(0)
    return GraphPredictor(3, 8, 2, **options).double()


def editor(**options: int) -> GraphEditor:
    torch.manual_seed(0)
    found = GraphEditor(8, 2, **options).double()
    nn.init.ones_(found.gamma)
    return found


@pytest.mark.parametrize("taps", [2, 9])
@pytest.mark.parametrize("make", KINDS)
def test_blocks_predict_what_graphs_predict(make: Callable[[], Network], taps: int) -> None:
    laws.blocks_predict_as_graphs(predictor(taps=taps), *batch(make()), taps)


@pytest.mark.parametrize("make", [networks.vgg, networks.attention, networks.slopes])
def test_blocks_and_graphs_are_standardised_alike(make: Callable[[], Network]) -> None:
    layout, states = batch(make())
    one, other = predictor(), predictor()
    one.encoder.fit_standardisation([Stacked.of(layout, states[:2]), Stacked.of(layout, states[2:])])
    other.encoder.fit_standardisation([graphs(layout, states)])
    assert close(one.encoder.lift.mean, other.encoder.lift.mean)
    assert close(one.encoder.lift.deviation, other.encoder.lift.deviation)
    assert float(one.encoder.lift.deviation.min()) > 0.5


@pytest.mark.parametrize("taps", [2, 9])
@pytest.mark.parametrize("make", KINDS)
def test_blocks_edit_as_graphs_do(make: Callable[[], Network], taps: int) -> None:
    laws.blocks_edit_as_graphs(editor(taps=taps), *batch(make()), taps)


@pytest.mark.parametrize("make", KINDS)
def test_symmetric_networks_are_one_to_it(make: Callable[[], Network]) -> None:
    laws.respects_permutations(predictor(), editor(), make())


@settings(max_examples=15)
@given(laws.stacks())
def test_any_stack_of_layers(network: Network) -> None:
    laws.respects_permutations(predictor(), editor(), network)


def test_another_order_that_is_no_symmetry_is_another_network() -> None:
    layout, states = batch(networks.mlp())
    swapped = [{**state, "2.weight": state["2.weight"].flip(1)} for state in states]
    model = predictor()
    assert not torch.allclose(model(Stacked.of(layout, swapped)), model(Stacked.of(layout, states)), rtol=1e-4)


def test_alone_it_is_what_it_is_in_any_batch() -> None:
    laws.alone_as_in_any_batch(predictor())


def test_a_batch_of_ten_architectures_trains_a_step() -> None:
    made = [batch(make(), 1, seed) for seed, make in enumerate(KINDS)]
    assert len(made) == 10
    mixed = Batch.from_data_list([to_graph(layout, states[0]) for layout, states in made])
    model = predictor()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        loss = (model(mixed) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]


def test_gradients_reach_every_parameter_and_zeros_are_weights() -> None:
    laws.learns_from_zeros_too(predictor())
    # An editor does not look at nodes after its last round.
    laws.learns_from_zeros_too(
        editor(), tuple(f"encoder.layers.1.{name}" for name in ("node", "out", "message", "norm"))
    )


def test_a_saved_model_is_the_same_model() -> None:
    laws.survives_saving(predictor)


@pytest.mark.filterwarnings("ignore")
def test_compiled_it_is_the_same_function() -> None:
    layout, states = batch(networks.attention())
    stacked, model = Stacked.of(layout, states), predictor()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager")
    outputs = model(stacked), compiled(stacked)
    assert close(*outputs)
    gradients = [torch.autograd.grad(output.square().sum(), list(model.parameters())) for output in outputs]
    assert all(close(one, other) for one, other in zip(*gradients, strict=True))
