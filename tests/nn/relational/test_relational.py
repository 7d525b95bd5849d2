"""Relational transformers: dense blocks say what the plain form says, and what they claim of symmetry holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from tests.nn.gmn import laws
from tests.nn.gmn.laws import KINDS, batch, graphs
from tests.nn.small import close
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SpecError
from weightspace.nn.gmn import Stacked
from weightspace.nn.gmn.wiring import Wiring
from weightspace.nn.relational import RelationalEditor, RelationalPredictor
from weightspace.nn.relational.layer import HEADS, RelationalLayer


def predictor(**options: int) -> RelationalPredictor:
    torch.manual_seed(0)
    return RelationalPredictor(3, 8, 2, **options).double()


def editor(**options: int) -> RelationalEditor:
    torch.manual_seed(0)
    found = RelationalEditor(8, 2, **options).double()
    nn.init.ones_(found.gamma)
    return found


@pytest.mark.parametrize(("make", "taps"), [(make, 9) for make in KINDS] + [(networks.vgg, 2)])
def test_blocks_predict_what_graphs_predict(make: Callable[[], Network], taps: int) -> None:
    laws.blocks_predict_as_graphs(predictor(taps=taps), *batch(make()), taps)


@pytest.mark.parametrize(("make", "taps"), [(networks.residual, 9), (networks.attention, 9), (networks.vgg, 2)])
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


def test_gradients_reach_every_parameter_and_zeros_are_weights() -> None:
    laws.learns_from_zeros_too(predictor())
    laws.learns_from_zeros_too(editor())


def test_a_saved_model_is_the_same_model() -> None:
    laws.survives_saving(predictor)


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_attention_is_a_softmax_over_the_edges_of_a_node(size: float) -> None:
    """Against pairs of nodes in a dense matrix; large logits overflow no exponential."""
    layout, states = batch(networks.mlp(), 1)
    torch.manual_seed(0)
    layer = RelationalLayer(8).double()
    with torch.no_grad():
        for parameter in (layer.of_nodes.weight, layer.of_edges.weight):
            parameter.mul_(size)
    (source, target), count = graphs(layout, states).edge_index, layout.nodes
    nodes = torch.randn(count, 8, dtype=torch.float64)
    edges = torch.randn(source.numel(), 8, dtype=torch.float64)
    heard = dense(layer, source, target, nodes, edges)
    expected = nodes + layer.heard(heard)
    expected = expected + layer.inner(layer.inner_norm(expected))
    found, _ = layer.on_graph(torch.stack([source, target]), nodes, edges)
    assert close(found, expected)
    (blocks,), _ = layer.on_blocks(Wiring(layout, 9, torch.device("cpu")), nodes[None], edges)
    assert close(blocks, expected)
    half, _ = layer.float().on_blocks(Wiring(layout, 9, torch.device("cpu")), nodes[None].float(), edges.float())
    assert bool(half.isfinite().all())


def dense(layer: RelationalLayer, source: Tensor, target: Tensor, nodes: Tensor, edges: Tensor) -> Tensor:
    """What nodes hear, by loops over nodes and heads."""
    x, e = layer.node_norm(nodes), layer.edge_norm(edges)
    projections, modulation = layer.of_nodes(x).reshape(len(x), 2, 3, HEADS, -1), layer.of_edges(e)
    of_query, of_key, factor, shift = modulation.reshape(len(e), 4, HEADS, -1).unbind(1)
    heard = torch.zeros(len(x), HEADS, x.shape[1] // HEADS, dtype=x.dtype)
    for node in range(len(x)):
        for head in range(HEADS):
            logits, values = [], []
            for side, (here, there) in enumerate([(target, source), (source, target)]):
                for edge in (here == node).nonzero()[:, 0].tolist():
                    query = projections[node, side, 0, head] + of_query[edge, head]
                    key = projections[there[edge], side, 1, head] + of_key[edge, head]
                    logits.append(query @ key * len(key) ** -0.5)
                    value = projections[there[edge], side, 2, head] * factor[edge, head] + shift[edge, head]
                    values.append(value)
            if logits:
                heard[node, head] = torch.stack(logits).softmax(0) @ torch.stack(values)
    return heard.flatten(1)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(SpecError, match="expected a width that 4 heads divide, found 6; take a multiple of 4"):
        RelationalPredictor(3, 6)
