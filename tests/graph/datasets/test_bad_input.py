"""What a dataset refuses, in one line that names the network."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.symmetry import networks
from weightspace.errors import (
    CheckpointFormatError,
    CheckpointMismatchError,
    DataError,
    OutputError,
    SourceError,
    SpecError,
    UnsafeCheckpointError,
    WeightspaceError,
)
from weightspace.graph import ParameterGraph
from weightspace.graph.datasets import GraphDataset, Network, OnDiskGraphDataset
from weightspace.graph.transforms import Canonicalize
from weightspace.symmetry import derive


def refused(networks: list[Network], kind: type[WeightspaceError], tmp_path: Path, **options: Any) -> str:
    with pytest.raises(kind) as memory:
        GraphDataset(networks, **options)
    with pytest.raises(kind) as disk:
        OnDiskGraphDataset(tmp_path / "new", networks, **options)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))
    message = str(memory.value)
    assert message == str(disk.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("value", [math.nan, math.inf, "high", None])
def test_targets_that_are_no_numbers(given: list[Network], tmp_path: Path, value: Any) -> None:
    given[2] = Network(given[2].weights, given[2].architecture, {"accuracy": value, "loss": 1.0})
    message = refused(given, DataError, tmp_path)
    assert f"{given[2].weights}: target 'accuracy': expected a finite number, found {value!r}" in message


def test_other_targets(given: list[Network], tmp_path: Path) -> None:
    given[5] = Network(given[5].weights, given[5].architecture, {"accuracy": 1.0})
    message = refused(given, DataError, tmp_path)
    assert "network 5: targets: expected loss, accuracy as of the first network, found accuracy" in message


def test_files_that_are_cut_off_or_missing(given: list[Network], tmp_path: Path) -> None:
    path = Path(given[3].weights)  # pyright: ignore[reportArgumentType]
    path.write_bytes(path.read_bytes()[:-9])
    assert str(path) in refused(given, CheckpointFormatError, tmp_path)
    path.unlink()
    assert str(path) in refused(given, CheckpointFormatError, tmp_path)


class Trap:
    """Runs a program when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(given: list[Network], tmp_path: Path) -> None:
    state = networks.mlp()[0].state_dict()
    torch.save({**state, "trap": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    message = refused([Network(tmp_path / "trap.pt", given[0].architecture)], UnsafeCheckpointError, tmp_path)
    assert str(tmp_path / "trap.pt") in message
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused([Network(tmp_path / "bare.pkl", given[0].architecture)], WeightspaceError, tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_network(given: list[Network], tmp_path: Path) -> None:
    for other in (given[1].weights, networks.residual()[0].state_dict()):
        message = refused([given[0], Network(other, given[0].architecture, given[0].targets)],
                          CheckpointMismatchError, tmp_path)  # fmt: skip
        assert message.startswith(f"{other if isinstance(other, Path) else 'network 1'}: 0.weight: expected a tensor")
    narrow = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 3)).state_dict()
    message = refused([Network(narrow, given[0].architecture)], CheckpointMismatchError, tmp_path)
    assert "2.weight: expected shape (4, 5), found (3, 5) (and 2 more)" in message
    more = {**networks.mlp()[0].state_dict(), "6.weight": torch.zeros(3, 3)}
    message = refused([Network(more, given[0].architecture)], CheckpointMismatchError, tmp_path)
    assert "6.weight: expected no such tensor" in message


def test_sources_that_are_none(given: list[Network], tmp_path: Path) -> None:
    state = networks.mlp()[0].state_dict()
    assert "network 0: expected a spec or a source" in refused([Network(state)], SourceError, tmp_path)
    message = refused([Network(given[0].weights, "timm:resnet81")], SourceError, tmp_path)
    assert message.startswith(f"{given[0].weights}: timm:resnet81: timm has no architecture of that name")
    save_file({"attention": torch.zeros(3, 3, 3)}, tmp_path / "no_stack.safetensors")
    message = refused([Network(tmp_path / "no_stack.safetensors")], SourceError, tmp_path)
    assert str(tmp_path / "no_stack.safetensors") in message
    assert "expected at least one" in refused([], DataError, tmp_path)


def test_transforms_that_fail_or_change_more_than_weights(given: list[Network], tmp_path: Path) -> None:
    layout = GraphDataset(given).layouts[given[0].architecture.hash]  # pyright: ignore
    message = refused(given, SpecError, tmp_path, pre_transform=Canonicalize(layout))
    assert message.startswith(f"{given[1].weights}: the graph belongs to another spec")
    message = refused(given, DataError, tmp_path, pre_transform=with_features)
    assert "in weights, y and network only, found another 'x'; change that by transform" in message
    message = refused(given, DataError, tmp_path, pre_transform=reversed_edges)
    assert "found another 'edge_index'" in message


def with_features(graph: ParameterGraph) -> ParameterGraph:
    graph.x = torch.zeros(graph.num_nodes, 1)
    return graph


def reversed_edges(graph: ParameterGraph) -> ParameterGraph:
    graph.edge_index = graph["edge_index"].flip(0)
    return graph


def test_folders_that_hold_none(given: list[Network], tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    with pytest.raises(DataError, match=r"graphs: expected a dataset of graphs.* give networks to make it"):
        OnDiskGraphDataset(folder)
    OnDiskGraphDataset(folder, given)
    with pytest.raises(OutputError, match="graphs: expected a new folder, found one"):
        OnDiskGraphDataset(folder, given)
    for file in ("graphs.db", "common.json"):
        kept = (folder / "processed" / file).read_bytes()
        (folder / "processed" / file).write_bytes(b"{}")
        with pytest.raises(DataError, match="graphs: expected a dataset of graphs"):
            OnDiskGraphDataset(folder)
        (folder / "processed" / file).write_bytes(kept)
    dataset = OnDiskGraphDataset(folder)
    assert len(dataset) == len(given)
    module, args, kwargs = networks.gru()
    other = GraphDataset([Network(module.state_dict(), derive(module.eval(), args, kwargs))])[0]
    with pytest.raises(DataError, match="one of the dataset's 4 specs, found one of spec"):
        dataset.append(other)
