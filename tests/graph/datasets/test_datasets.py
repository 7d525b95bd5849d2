"""Datasets of graphs: what is given comes back, whole, in any batch, in any process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from weightspace.checkpoint import open_checkpoint
from weightspace.graph import ParameterGraph, layout, to_tensors
from weightspace.graph.datasets import GraphDataset, Network, OnDiskGraphDataset, layouts
from weightspace.graph.transforms import Canonicalize, PerSpec
from weightspace.source import TimmSource, deriving

Make = Callable[..., Any]


@pytest.fixture(params=["memory", "disk"])
def make(request, tmp_path: Path) -> Make:
    if request.param == "memory":
        return GraphDataset
    return lambda networks, **options: OnDiskGraphDataset(tmp_path / "graphs", networks, **options)


def weights(network: Network) -> dict[str, Tensor]:
    state = network.weights if isinstance(network.weights, dict) else open_checkpoint(network.weights)
    return dict(state)


def check(dataset: Any, graph: ParameterGraph, network: Network) -> None:
    back, expected = to_tensors(dataset.layouts[graph.spec_hash], graph), weights(network)
    assert back.keys() <= expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in back.items())
    assert graph.y.dtype == torch.float32
    assert graph.y.tolist() == [pytest.approx([network.targets[name] for name in dataset.target_names])]


def test_what_is_given_comes_back(make: Make, given: list[Network]) -> None:
    dataset = make(given)
    assert len(dataset) == len(given)
    assert dataset.target_names == ("loss", "accuracy")
    for place, network in enumerate(given):
        graph = dataset[place]
        assert graph.network == place
        check(dataset, graph, network)
    assert [graph.edge_attr.dtype for graph in dataset] == [torch.float32] * 4 + [torch.float64, torch.float32]
    # The three MLPs share a layout, and their graphs all but the weights.
    assert len(dataset.layouts) == 4
    assert dataset[0].edge_index is dataset[3].edge_index
    assert torch.equal(dataset[-1].y, dataset[5].y)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_batches_mixed_architectures(make: Make, given: list[Network], workers: int) -> None:
    dataset = make(given)
    assert dataset[0].network == 0  # opens the database in this process, of which workers are forks
    seen = []
    for batch in DataLoader(dataset, batch_size=4, shuffle=True, num_workers=workers):
        assert batch.y.shape == (batch.num_graphs, 2)
        for graph in batch.to_data_list():
            seen.append(int(graph.network))
            check(dataset, graph, given[seen[-1]])
    assert sorted(seen) == list(range(len(given)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_of_a_part_stays_in_it(make: Make, given: list[Network], workers: int) -> None:
    part = make(given)[[5, 1, 3]]
    assert [graph.network for graph in part] == [5, 1, 3]
    loaded = [int(graph) for batch in DataLoader(part, batch_size=2, num_workers=workers) for graph in batch.network]
    assert loaded == [5, 1, 3]


def test_a_dataset_survives_pickling(make: Make, given: list[Network]) -> None:
    dataset = make(given)[[2, 4]]
    again = pickle.loads(pickle.dumps(dataset))
    assert [graph.network for graph in again] == [2, 4]
    check(again, again[1], given[4])


def test_transforms_before_and_on_access(make: Make, given: list[Network]) -> None:
    plain = GraphDataset(given)
    canonical = PerSpec(*map(Canonicalize, plain.layouts.values()))
    expected = [canonical(graph) for graph in plain]
    assert any(not torch.equal(one.edge_attr, other.edge_attr) for one, other in zip(expected, plain, strict=True))
    dataset = make(given, pre_transform=canonical, transform=doubled)
    for graph, known in zip(dataset, expected, strict=True):
        assert torch.equal(graph.edge_attr, 2 * known.edge_attr)
    batch = next(iter(DataLoader(dataset, batch_size=6)))
    assert torch.equal(batch.edge_attr, 2 * Batch.from_data_list(expected).edge_attr)


def doubled(graph: ParameterGraph) -> ParameterGraph:
    graph.edge_attr = 2 * graph["edge_attr"]
    return graph


def test_the_folder_is_enough(given: list[Network], tmp_path: Path) -> None:
    made = OnDiskGraphDataset(tmp_path / "graphs", given)
    made.close()
    again = OnDiskGraphDataset(tmp_path / "graphs", taps=4)
    assert again.target_names == ("loss", "accuracy")
    assert again[1].edge_attr.shape[1] == 4
    for place, network in enumerate(given):
        check(again, again[place], network)
    again.append(made[1])
    again.extend([made[0], made[4]])
    assert [again[place].network for place in (6, 7, 8)] == [1, 0, 4]
    check(again, again[8], given[4])


def test_rows_are_no_larger_than_weights(given: list[Network], tmp_path: Path) -> None:
    class Own(OnDiskGraphDataset):
        """A name of a subclass must not be that of another table."""

    OnDiskGraphDataset(tmp_path / "graphs", [given[0]] * 1000)
    dataset = Own(tmp_path / "graphs")
    assert len(dataset) == 1000
    numbers = sum(tensor.numel() for tensor in weights(given[0]).values())
    assert (tmp_path / "graphs/processed/graphs.db").stat().st_size < 1000 * (4 * numbers + 200)


def test_memory_datasets_are_copied_in_part(given: list[Network]) -> None:
    dataset = GraphDataset(given)
    assert dataset.y.shape == (6, 2)
    for part in (dataset.copy([4, 2]), dataset[[1, 4, 2]].copy([1, 2])):
        assert [graph.network for graph in part] == [4, 2]
        check(part, part[0], given[4])
    assert dataset.copy()._data.weights.data_ptr() != dataset._data.weights.data_ptr()


def test_one_network_without_targets(make: Make, given: list[Network]) -> None:
    dataset = make([Network(given[1].weights, given[1].architecture)])
    assert dataset[0].y.shape == (1, 0)
    check(dataset, dataset[0], Network(given[1].weights))


def test_specs_are_derived_and_laid_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived, laid_out = [], []
    monkeypatch.setattr(deriving, "derive", counting(deriving.derive, derived))
    monkeypatch.setattr(layouts, "graph_layout", counting(layout.graph_layout, laid_out))
    stacks = []
    for place in range(6):
        torch.manual_seed(place)
        net = torch.nn.Sequential(torch.nn.Linear(5, 4 + place % 2), torch.nn.ReLU(), torch.nn.Linear(4 + place % 2, 2))
        torch.save(net.state_dict(), tmp_path / f"{place}.pt")
        stacks.append(Network(tmp_path / f"{place}.pt"))
    dataset = GraphDataset(stacks)
    list(dataset)
    assert len(derived) == len(laid_out) == len(dataset.layouts) == 2


def test_equal_sources_are_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    calls: list[Any] = []
    monkeypatch.setattr(deriving, "derive", counting(deriving.derive, calls))

    def source(depths: list[int]) -> TimmSource:
        return TimmSource("t", "convnext_tiny", 3, input_shape=(3, 64, 64), model_args=(("depths", depths), SMALL))

    sources = [source([1, 1, second, 1]) for second in (1, 1, 2)]
    given = [Network(each.build().state_dict(), each) for each in sources]
    dataset = GraphDataset(given)
    assert len(calls) == len(dataset.layouts) == 2
    for graph, network in zip(dataset, given, strict=True):
        check(dataset, graph, network)


SMALL = ("dims", (4, 8, 8, 8))


def counting(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return function(*args, **kwargs)

    return counted
