"""Networks to graphs and back: every entry, every architecture, any batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SpecError
from weightspace.graph import EDGE_ROLES, GraphLayout, graph_layout, to_graph, to_tensors
from weightspace.symmetry import derive

KINDS = [
    networks.mlp, networks.vgg, networks.dense, networks.residual, networks.cifar_resnet20, networks.norms,
    networks.grouped_convolutions, networks.depthwise_separable, networks.autoencoder, networks.gru, networks.lstm,
    networks.attention, networks.attention_with_bias_keys, networks.cross_attention, networks.encoder, networks.slopes,
    networks.mixer, networks.gpt2, networks.llama,
]  # fmt: skip


def network(make: Callable[[], Network], seed: int = 0) -> tuple[GraphLayout, dict[str, Tensor]]:
    module, args, kwargs = make()
    layout, draw = graph_layout(derive(module.eval(), args, kwargs)), torch.Generator().manual_seed(seed)
    state = module.state_dict()
    return layout, {name: torch.randn(state[name].shape, generator=draw) for name in layout.names}


@pytest.mark.parametrize("taps", [1, 4, 9])
@pytest.mark.parametrize("make", KINDS)
def test_round_trip(make: Callable[[], Network], taps: int) -> None:
    layout, state = network(make)
    graph = to_graph(layout, state, taps=taps)
    assert graph.validate()
    back = to_tensors(layout, graph)
    assert back.keys() == state.keys() | layout.spec.aliases.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert all(back[alias] is back[name] for alias, name in layout.spec.aliases.items())
    # And the other way round: values of a graph are those of the network that it stands for.
    changed = graph.clone()
    filled = graph.edge_attr != 0
    changed.edge_attr = torch.where(filled, torch.randn(graph.edge_attr.shape), 0.0)
    assert torch.equal(to_graph(layout, to_tensors(layout, changed), taps=taps).edge_attr, changed.edge_attr)


@pytest.mark.parametrize("make", KINDS)
def test_every_parameter_lies_on_an_edge_once(make: Callable[[], Network]) -> None:
    layout, state = network(make)
    graph = to_graph(layout, {name: torch.ones_like(tensor) for name, tensor in state.items()})
    assert int(graph.edge_attr.sum()) == sum(tensor.numel() for tensor in state.values())


def test_zero_weights_are_edges() -> None:
    layout, state = network(networks.mlp)
    zeros = to_graph(layout, {name: torch.zeros_like(tensor) for name, tensor in state.items()})
    assert torch.equal(zeros.edge_index, to_graph(layout, state).edge_index)


def test_types_survive() -> None:
    layout, state = network(networks.mlp)
    for dtype in (torch.float64, torch.bfloat16):
        graph = to_graph(layout, {name: tensor.to(dtype) for name, tensor in state.items()})
        assert graph.edge_attr.dtype == torch.promote_types(dtype, torch.float32)
        back = to_tensors(layout, graph)
        assert all(torch.equal(back[name].to(dtype), state[name].to(dtype)) for name in state)


def test_what_a_layer_is_made_of() -> None:
    layout, state = network(networks.mlp)
    graph = to_graph(layout, state)
    # 6 inputs, 5 and 4 units, 3 outputs; a node for each bias.
    assert graph.num_nodes == 6 + 5 + 4 + 3 + 3
    assert [EDGE_ROLES[role] for role in graph.block_role.tolist()] == ["weight", "bias"] * 3
    targets = [layout.set_of(name).nodes() for name in ("0", "2")]
    first, second = (graph.edge_index[:, graph.edge_block == block] for block in (0, 2))
    assert set(first[1].tolist()) == set(targets[0].tolist()) == set(second[0].tolist())
    assert set(second[1].tolist()) == set(targets[1].tolist())


def test_a_kernel_is_one_edge_and_a_wide_one_several() -> None:
    layout, state = network(networks.vgg)
    narrow, wide = to_graph(layout, state, taps=4), to_graph(layout, state)
    block = [each.block.tensor for each in layout.entries].index("0.weight")
    assert int((wide.edge_block == block).sum()) == 4 * 3
    assert int((narrow.edge_block == block).sum()) == 4 * 3 * 3  # 9 taps on edges of 4
    assert sorted(narrow.edge_chunk[narrow.edge_block == block].unique().tolist()) == [0, 1, 2]


def test_batches_of_any_architectures() -> None:
    made = [network(make, seed) for seed, make in enumerate((networks.mlp, networks.attention, networks.residual))]
    graphs = [to_graph(layout, state) for layout, state in made]
    batch = Batch.from_data_list(graphs)
    assert batch.num_nodes == sum(graph.num_nodes for graph in graphs)
    # Sets and blocks are counted on, so that what belongs to one network stays apart.
    assert batch.node_set.max() + 1 == len(batch.set_kind) == sum(len(graph.set_kind) for graph in graphs)
    assert batch.edge_block.max() + 1 == len(batch.block_role) == sum(len(graph.block_role) for graph in graphs)
    for number, (layout, state) in enumerate(made):
        graph = batch.get_example(number)
        assert torch.equal(graph.edge_index, graphs[number].edge_index)
        assert torch.equal(graph.edge_block, graphs[number].edge_block)
        assert torch.equal(graph.node_index, graphs[number].node_index)
        back = to_tensors(layout, graph)
        assert all(torch.equal(back[name], state[name]) for name in state)
    loaded = next(iter(DataLoader(graphs, batch_size=3)))
    assert torch.equal(loaded.edge_index, batch.edge_index)


def test_another_network_is_refused() -> None:
    layout, state = network(networks.mlp)
    other, _ = network(networks.gru)
    with pytest.raises(SpecError, match="another spec"):
        to_tensors(other, to_graph(layout, state))
    with pytest.raises(SpecError, match=r"'0.weight': expected shape \(5, 6\), found \(6, 5\)"):
        to_graph(layout, {**state, "0.weight": torch.zeros(6, 5)})
    with pytest.raises(SpecError, match=r"'2.bias': expected shape .* found none"):
        to_graph(layout, {name: tensor for name, tensor in state.items() if name != "2.bias"})


def test_graphs_of_one_layout_share_all_but_weights() -> None:
    layout, state = network(networks.residual)
    one, other = to_graph(layout, state), to_graph(layout, {name: 2 * tensor for name, tensor in state.items()})
    assert one.edge_index is other.edge_index
    assert torch.equal(other.edge_attr, 2 * one.edge_attr)
    wide = to_graph(layout, {name: tensor.double() for name, tensor in state.items()})
    assert one.block_depth.dtype == torch.float32
    assert wide.block_depth.dtype == torch.float64
    # Whoever adds to one graph adds to no other.
    one.mark = 1
    assert "mark" not in other
    assert "mark" not in to_graph(layout, state)


def test_weights_that_take_gradients_keep_them() -> None:
    layout, state = network(networks.attention)
    weights = {name: tensor.requires_grad_() for name, tensor in state.items()}
    back = to_tensors(layout, to_graph(layout, weights))
    sum((place + 1) * back[name].sum() for place, name in enumerate(layout.names)).backward()  # pyright: ignore
    for place, name in enumerate(layout.names):
        assert torch.equal(weights[name].grad, torch.full_like(weights[name], place + 1.0))
