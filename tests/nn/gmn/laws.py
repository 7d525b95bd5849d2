"""What metanetworks on parameter graphs must obey, whatever their layers are."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Batch

from tests.nn.small import close, without_gradient
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
    """The layout of a network, and random weights of some of its kind."""
    module, args, kwargs = network
    layout, draw = graph_layout(derive(module.eval(), args, kwargs)), torch.Generator().manual_seed(seed)
    shapes = {name: layout.spec.tensors[name].shape for name in layout.names}
    return layout, [
        {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def graphs(layout: GraphLayout, states: list[State], taps: int = 9) -> ParameterGraph:
    """The networks as one batch of graphs."""
    return Batch.from_data_list([to_graph(layout, state, taps=taps) for state in states])  # pyright: ignore


@st.composite
def stacks(draw: st.DrawFn) -> Network:
    """Perceptrons and plain convolutional networks of any widths."""
    widths = [2, *draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)), 2]
    kernel, norm, bias = draw(st.sampled_from([None, 1, 3])), draw(st.booleans()), draw(st.booleans())
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers.append(
            nn.Linear(before, after, bias=bias) if kernel is None else nn.Conv2d(before, after, kernel, 1, 1, bias=bias)
        )
        if norm:
            layers.append(nn.BatchNorm1d(after) if kernel is None else nn.BatchNorm2d(after))
        layers.append(nn.ReLU())
    return with_input(nn.Sequential(*layers), *((2, 2) if kernel is None else (1, 2, 6, 6)))


def blocks_predict_as_graphs(model: GraphPredictor, layout: GraphLayout, states: list[State], taps: int) -> None:
    """Dense blocks and the plain form: outputs and gradients."""
    stacked, graph = Stacked.of(layout, states), graphs(layout, states, taps)
    model.encoder.fit_standardisation([stacked])
    dense, plain = model(stacked), model(graph)
    assert close(dense, plain)
    gradients = [torch.autograd.grad(output.square().sum(), list(model.parameters())) for output in (dense, plain)]
    assert all(close(one, other) for one, other in zip(*gradients, strict=True))


def blocks_edit_as_graphs(model: GraphEditor, layout: GraphLayout, states: list[State], taps: int) -> None:
    """Dense blocks and the plain form: every weight, and each of them changes."""
    edited = model(Stacked.of(layout, states))
    assert isinstance(edited, Stacked)
    for number, state in enumerate(states):
        plain = to_tensors(layout, model(to_graph(layout, state, taps=taps)))
        for name in layout.names:
            assert close(edited.tensors[name][number], plain[name])
            assert not torch.equal(plain[name], state[name])


def respects_permutations(predicts: nn.Module, edits: nn.Module, network: Network) -> None:
    """A network that is permuted is predicted the same, and edited to what is permuted likewise."""
    layout, states = batch(network)
    before, changed = predicts(Stacked.of(layout, states)), edits(Stacked.of(layout, states))
    elements = [layout.spec.random_element(torch.Generator().manual_seed(seed)) for seed in range(len(states))]
    moved = [layout.spec.apply(element, state) for element, state in zip(elements, states, strict=True)]
    assert close(predicts(Stacked.of(layout, moved)), before)
    after = edits(Stacked.of(layout, moved))
    for number, element in enumerate(elements):
        expected = layout.spec.apply(element, {name: each[number] for name, each in changed.tensors.items()})
        assert all(close(after.tensors[name][number], expected[name]) for name in layout.names)


def alone_as_in_any_batch(model: nn.Module) -> None:
    """What else is in a batch changes nothing, and neither does a second call."""
    made = [batch(make(), 2) for make in (networks.mlp, networks.attention, networks.residual, networks.gru)]
    model = model.eval()
    alone = [model(to_graph(layout, state)) for layout, states in made for state in states]
    every = [to_graph(layout, state) for layout, states in made for state in states]
    assert close(model(Batch.from_data_list(every)), torch.cat(alone))
    assert close(model(Batch.from_data_list(every[::-1])), torch.cat(alone[::-1]))
    layout, states = made[0]
    assert close(model(Stacked.of(layout, states)), torch.cat(alone[:2]))
    assert torch.equal(model(Stacked.of(layout, states)), model(Stacked.of(layout, states)))


def learns_from_zeros_too(model: nn.Module, unreached: tuple[str, ...] = ()) -> None:
    """Gradients reach every parameter, but for those whose names begin so; weights of 0 are weights."""
    layout, states = batch(networks.slopes())
    summed(model(Stacked.of(layout, states))).backward()
    assert [name for name in without_gradient(model) if not name.startswith(unreached)] == []
    zeros = [{name: torch.zeros_like(tensor) for name, tensor in state.items()} for state in states]
    model.zero_grad()
    output = summed(model(Stacked.of(layout, zeros)))
    output.backward()
    assert bool(output.isfinite())
    assert all(each.grad is None or bool(each.grad.isfinite().all()) for each in model.parameters())


def summed(output: Tensor | Stacked) -> Tensor:
    """One number of all that a metanetwork has put out."""
    each = output.tensors.values() if isinstance(output, Stacked) else [output]
    return torch.stack([values.square().sum() for values in each]).sum()


def survives_saving(make: Callable[[], GraphPredictor]) -> None:
    """A model with the state of another is the other, standardisation included."""
    layout, states = batch(networks.vgg())
    one, other = make(), make()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    one.encoder.fit_standardisation([Stacked.of(layout, states)])
    assert not close(one(Stacked.of(layout, states)), other(Stacked.of(layout, states)))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(Stacked.of(layout, states)), other(Stacked.of(layout, states)))
