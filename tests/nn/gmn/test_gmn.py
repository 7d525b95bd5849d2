"""Graph metanetworks: dense blocks say what the plain form says, and what they claim of symmetry holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Batch

from tests.symmetry import networks
from tests.symmetry.networks import Network, with_input
from weightspace.graph import GraphLayout, ParameterGraph, graph_layout, to_graph, to_tensors
from weightspace.nn.gmn import GraphEditor, GraphPredictor, Stacked
from weightspace.symmetry import derive

State = dict[str, Tensor]
KINDS = [
    networks.mlp, networks.vgg, networks.residual, networks.grouped_convolutions, networks.depthwise_separable,
    networks.norms, networks.gru, networks.attention, networks.slopes, networks.llama,
]  # fmt: skip


def batch(network: Network, count: int = 3, seed: int = 0) -> tuple[GraphLayout, list[State]]:
    module, args, kwargs = network
    layout, draw = graph_layout(derive(module.eval(), args, kwargs)), torch.Generator().manual_seed(seed)
    shapes = {name: layout.spec.tensors[name].shape for name in layout.names}
    return layout, [
        {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def predictor(**options: int) -> GraphPredictor:
    torch.manual_seed(0)
    return GraphPredictor(3, 8, 2, **options).double()


def editor(**options: int) -> GraphEditor:
    torch.manual_seed(0)
    found = GraphEditor(8, 2, **options).double()
    nn.init.ones_(found.gamma)
    return found


def graphs(layout: GraphLayout, states: list[State], taps: int = 9) -> ParameterGraph:
    return Batch.from_data_list([to_graph(layout, state, taps=taps) for state in states])  # pyright: ignore


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("taps", [2, 9])
@pytest.mark.parametrize("make", KINDS)
def test_blocks_predict_what_graphs_predict(make: Callable[[], Network], taps: int) -> None:
    layout, states = batch(make())
    model = predictor(taps=taps)
    stacked, graph = Stacked.of(layout, states), graphs(layout, states, taps)
    model.encoder.fit_standardisation([stacked])
    dense, plain = model(stacked), model(graph)
    assert close(dense, plain)
    gradients = [torch.autograd.grad(output.square().sum(), list(model.parameters())) for output in (dense, plain)]
    assert all(close(one, other) for one, other in zip(*gradients, strict=True))


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
    layout, states = batch(make())
    model = editor(taps=taps)
    edited = model(Stacked.of(layout, states))
    assert isinstance(edited, Stacked)
    for number, state in enumerate(states):
        plain = to_tensors(layout, model(to_graph(layout, state, taps=taps)))
        for name in layout.names:
            assert close(edited.tensors[name][number], plain[name])
            assert not torch.equal(plain[name], state[name])


@pytest.mark.parametrize("make", KINDS)
def test_symmetric_networks_are_one_to_it(make: Callable[[], Network]) -> None:
    check_symmetry(make())


widths = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@settings(max_examples=15)
@given(widths=widths, kernel=st.sampled_from([None, 1, 3]), norm=st.booleans(), bias=st.booleans())
def test_any_stack_of_layers(widths: list[int], kernel: int | None, norm: bool, bias: bool) -> None:
    layers: list[nn.Module] = []
    sizes = [2, *widths, 2]
    for before, after in itertools.pairwise(sizes):
        layers.append(
            nn.Linear(before, after, bias=bias) if kernel is None else nn.Conv2d(before, after, kernel, 1, 1, bias=bias)
        )
        if norm:
            layers.append(nn.BatchNorm1d(after) if kernel is None else nn.BatchNorm2d(after))
        layers.append(nn.ReLU())
    check_symmetry(with_input(nn.Sequential(*layers), *((2, 2) if kernel is None else (1, 2, 6, 6))))


def check_symmetry(network: Network) -> None:
    layout, states = batch(network)
    predicts, edits = predictor(), editor()
    before, changed = predicts(Stacked.of(layout, states)), edits(Stacked.of(layout, states))
    elements = [layout.spec.random_element(torch.Generator().manual_seed(seed)) for seed in range(len(states))]
    moved = [layout.spec.apply(element, state) for element, state in zip(elements, states, strict=True)]
    assert close(predicts(Stacked.of(layout, moved)), before)
    after = edits(Stacked.of(layout, moved))
    for number, element in enumerate(elements):
        expected = layout.spec.apply(element, {name: each[number] for name, each in changed.tensors.items()})
        assert all(close(after.tensors[name][number], expected[name]) for name in layout.names)


def test_another_order_that_is_no_symmetry_is_another_network() -> None:
    layout, states = batch(networks.mlp())
    swapped = [{**state, "2.weight": state["2.weight"].flip(1)} for state in states]
    model = predictor()
    assert not torch.allclose(model(Stacked.of(layout, swapped)), model(Stacked.of(layout, states)), rtol=1e-4)


def test_alone_it_is_what_it_is_in_any_batch() -> None:
    made = [batch(make(), 2) for make in (networks.mlp, networks.attention, networks.residual, networks.gru)]
    model = predictor().eval()
    alone = [model(to_graph(layout, state)) for layout, states in made for state in states]
    every = [to_graph(layout, state) for layout, states in made for state in states]
    assert close(model(Batch.from_data_list(every)), torch.cat(alone))
    assert close(model(Batch.from_data_list(every[::-1])), torch.cat(alone[::-1]))
    layout, states = made[0]
    assert close(model(Stacked.of(layout, states)), torch.cat(alone[:2]))
    assert torch.equal(model(Stacked.of(layout, states)), model(Stacked.of(layout, states)))


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
    layout, states = batch(networks.slopes())
    zeros = [{name: torch.zeros_like(tensor) for name, tensor in state.items()} for state in states]
    for model in (predictor(), editor()):
        output = model(Stacked.of(layout, states))
        values = (
            torch.cat([each.flatten() for each in output.tensors.values()]) if isinstance(output, Stacked) else output
        )
        values.square().sum().backward()
        assert all(
            parameter.grad is not None and bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any())
            for name, parameter in model.named_parameters()
            if not (isinstance(model, GraphEditor) and name.startswith(LAST))
        )
    assert bool(predictor()(Stacked.of(layout, zeros)).isfinite().all())


LAST = ("encoder.layers.1.node", "encoder.layers.1.out", "encoder.layers.1.message", "encoder.layers.1.norm")


def test_a_saved_model_is_the_same_model() -> None:
    layout, states = batch(networks.vgg())
    one, other = predictor(), GraphPredictor(3, 8, 2).double()
    one.encoder.fit_standardisation([Stacked.of(layout, states)])
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(Stacked.of(layout, states)), other(Stacked.of(layout, states)))


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
