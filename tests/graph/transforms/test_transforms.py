"""Canonical and aligned weights on the edges of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.align import align
from weightspace.canonical import canonicalize
from weightspace.errors import AlignmentError, SpecError
from weightspace.graph import GraphLayout, graph_layout, to_graph, to_tensors
from weightspace.graph.transforms import AlignTo, Canonicalize, PerSpec
from weightspace.symmetry import block, derive

State = dict[str, Tensor]
KINDS = [networks.mlp, networks.vgg, networks.grouped_convolutions, networks.gru, networks.attention, networks.llama]


def network(make: Callable[[], Network], seed: int = 0) -> tuple[GraphLayout, State]:
    module, args, kwargs = make()
    layout, draw = graph_layout(derive(module.eval(), args, kwargs)), torch.Generator().manual_seed(seed)
    state = {
        name: torch.rand(layout.spec.tensors[name].shape, generator=draw, dtype=torch.float64) + 0.1  # as variances are
        for name in layout.names
    }
    return layout, state


def buffers(layout: GraphLayout) -> State:
    return {name: torch.zeros(each.shape) for name, each in layout.spec.tensors.items() if each.kind == "buffer"}


def permuted(layout: GraphLayout, state: State, seed: int = 1) -> State:
    return layout.spec.apply(layout.spec.random_element(torch.Generator().manual_seed(seed)), state)


@pytest.mark.parametrize("make", KINDS)
def test_permuted_copies_have_one_canonical_form(make: Callable[[], Network]) -> None:
    layout, state = network(make)
    canonical = Canonicalize(layout, ("permutation",))
    graph, copy = to_graph(layout, state), to_graph(layout, permuted(layout, state))
    one, other = canonical(graph), canonical(copy)
    assert not torch.equal(graph.edge_attr, copy.edge_attr)
    assert torch.equal(one.edge_attr, other.edge_attr)
    assert one.edge_index is graph.edge_index
    expected = canonicalize(state | buffers(layout), layout.spec, ("permutation",)).tensors
    found = to_tensors(layout, one)
    assert all(torch.equal(found[name], expected[name]) for name in layout.names)
    # The graph that was given is as it was.
    assert torch.equal(graph.edge_attr, to_graph(layout, state).edge_attr)


def test_scales_have_a_canonical_form_too() -> None:
    layout, state = network(networks.vgg)
    scaled = dict(state)
    factor = torch.rand(7, dtype=torch.float64) + 0.5
    scaled["7.weight"], scaled["7.bias"] = state["7.weight"] * factor[:, None], state["7.bias"] * factor
    scaled["10.weight"] = state["10.weight"] / factor
    one, other = (Canonicalize(layout)(to_graph(layout, each)).edge_attr for each in (state, scaled))
    assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", KINDS)
def test_a_permuted_copy_of_the_template_becomes_the_template(make: Callable[[], Network]) -> None:
    layout, template = network(make)
    aligned = AlignTo(layout, template)(to_graph(layout, permuted(layout, template)))
    assert torch.equal(aligned.edge_attr, to_graph(layout, template).edge_attr)


def test_other_networks_come_as_close_as_alignment_brings_them() -> None:
    layout, template = network(networks.residual)
    _, state = network(networks.residual, 1)
    aligned = to_tensors(layout, AlignTo(layout, template)(to_graph(layout, state)))
    expected = align(template | buffers(layout), state | buffers(layout), layout.spec).apply(state)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in aligned.items())
    assert any(not torch.equal(tensor, state[name]) for name, tensor in aligned.items())
    scaled = AlignTo(layout, template, kinds=("permutation", "scale"))(to_graph(layout, state))
    assert scaled.edge_attr.dtype == torch.float64
    assert not torch.equal(scaled.edge_attr, to_graph(layout, expected).edge_attr)


def test_mixed_batches() -> None:
    made = [network(make) for make in KINDS]
    copies = [to_graph(layout, permuted(layout, state)) for layout, state in made]
    canonical = PerSpec(*(Canonicalize(layout, ("permutation",)) for layout, _ in made))
    aligned = Compose([canonical, PerSpec(*(AlignTo(layout, state) for layout, state in made))])
    batch = Batch.from_data_list(copies)
    alone = Batch.from_data_list([canonical(to_graph(layout, state)) for layout, state in made])
    assert torch.equal(canonical(batch).edge_attr, alone.edge_attr)
    back = aligned(batch)
    assert torch.equal(back.edge_attr, Batch.from_data_list([to_graph(*each) for each in made]).edge_attr)
    assert torch.equal(back.edge_index, batch.edge_index)
    assert torch.equal(back.ptr, batch.ptr)
    same = Batch.from_data_list([copies[0], to_graph(*made[0])])
    assert torch.equal(canonical.transforms[made[0][0].spec.hash](same).get_example(0).edge_attr, alone[0].edge_attr)


class Counted(Mapping[str, Tensor]):
    """Counts how often a tensor is read."""

    def __init__(self, tensors: State) -> None:
        self.tensors, self.reads = tensors, 0

    def __getitem__(self, name: str) -> Tensor:
        self.reads += 1
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def test_repeated_alignments_derive_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, state = network(networks.attention)
    template = Counted(state)
    transform = AlignTo(layout, template)
    first = transform(to_graph(layout, permuted(layout, state)))
    reads = template.reads
    monkeypatch.setattr(block, "tensor_blocks", None)  # whoever calls it fails
    for seed in range(2, 5):
        again = transform(to_graph(layout, permuted(layout, state, seed)))
        assert torch.equal(again.edge_attr, first.edge_attr)
        assert again.edge_index is first.edge_index
    assert template.reads == reads


def test_bad_input() -> None:
    layout, state = network(networks.mlp)
    other, strange = network(networks.gru)
    for transform in (Canonicalize(layout), AlignTo(layout, state)):
        with pytest.raises(SpecError, match="another spec"):
            transform(to_graph(other, strange))
    with pytest.raises(SpecError, match="expected a graph of one of 1 specs, found one of spec"):
        PerSpec(Canonicalize(layout))(to_graph(other, strange))
    with pytest.raises(SpecError, match=r"'0.weight': expected shape \(5, 6\), found none"):
        AlignTo(layout, strange)
    broken = to_graph(layout, {**state, "2.bias": torch.full((4,), torch.nan)})
    with pytest.raises(SpecError, match=r"'2.bias': expected finite numbers"):
        Canonicalize(layout)(broken)
    with pytest.raises(AlignmentError, match=r"'2.bias' of B"):
        AlignTo(layout, state)(broken)
    with pytest.raises(SpecError, match="kind 'colour'"):
        Canonicalize(layout, ("colour",))
    with pytest.raises(AlignmentError, match="kind 'colour'"):
        AlignTo(layout, state, kinds=("permutation", "colour"))
    with pytest.raises(AlignmentError, match="restarts"):
        AlignTo(layout, state, restarts=0)
