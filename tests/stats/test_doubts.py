"""Data that a network was not trained on are told from those that it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from weightspace.checkpoint import open_checkpoint
from weightspace.data import Batch, Normalization, open_data
from weightspace.errors import DataError
from weightspace.source import Inputs, Program, resolve_source
from weightspace.stats import doubts_about

REPOSITORY = Path(__file__).resolve().parents[2]
ZOO = REPOSITORY / "checkpoints_zoo"
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Change = Callable[[Tensor], Tensor]


def program_of(architecture: Path, name: str) -> Program:
    return Program.from_source(resolve_source(f"{architecture}:{name}"))


def about(program: Program, state: dict[str, Tensor], batches: list[Batch], change: Change = lambda x: x) -> list[str]:
    return doubts_about(program, state, lambda: (program.inputs_for(change(x)) for x, _ in batches))


def noise(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", ["digits_cnn", "digits_mlp"])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_wrong_with_the_data_of_small_networks(architecture: str, seed: int):
    program = program_of(ZOO / "models.py", architecture)
    state = open_checkpoint(ZOO / f"{architecture}_{seed}.safetensors").tensors()
    data = open_data(ZOO / "digits")
    for split in (data.statistics, data.evaluation):
        assert about(program, state, list(split.batches(64, samples=64, shuffle_seed=0))) == []


@pytest.mark.parametrize(
    "change", [lambda x: 255 * x, lambda x: (x - 0.5) / 0.5, noise], ids=["bytes", "other", "noise"]
)
def test_other_data_are_doubted_by_a_small_network(change: Change):
    program = program_of(ZOO / "models.py", "digits_cnn")
    state = open_checkpoint(ZOO / "digits_cnn_0.safetensors").tensors()
    batches = list(open_data(ZOO / "digits").statistics.batches(128, samples=256, shuffle_seed=0))
    (doubt,) = about(program, state, batches, change)
    assert "inputs of batch norms lie" in doubt
    assert "check the normalisation" in doubt


@pytest.mark.parametrize("depth", [20, 32, 56])
def test_real_resnets_doubt_images_without_their_normalisation(shared_data: Path, depth: int):
    program = program_of(ZOO / "cifar_resnet.py", f"resnet{depth}")
    state = open_checkpoint(shared_data / f"resnet_cifar10/resnet{depth}/DanSun18_run_{'8_' * (depth == 20)}1_model.th")
    data = open_data(shared_data / "cifar10")
    for split in (data.statistics, data.evaluation):
        batches = list(split.batches(64, samples=64, shuffle_seed=0, normalization=IMAGENET))
        assert about(program, state.tensors(), batches) == []
    plain = list(data.statistics.batches(64, samples=128, shuffle_seed=0))
    for change in (lambda x: x, lambda x: 255 * x, noise):
        (doubt, *_) = about(program, state.tensors(), plain, change)
        assert "inputs of batch norms lie" in doubt


def perceptron() -> tuple[Program, dict[str, Tensor]]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    program = Program(module, Inputs((torch.randn(2, 6),)))
    return program, program.state()


def test_constant_units_are_told_with_their_group():
    program, state = perceptron()
    batches: list[Batch] = [Batch(torch.randn(40, 6), None), Batch(torch.randn(8, 6), None)]
    state["0.bias"][:8] = -1e3  # as many as live
    assert about(program, state, batches) == []
    state["0.bias"][8] = -1e3
    (doubt,) = about(program, state, batches)
    assert "9 of 16 units of group '0' are constant" in doubt


def test_equal_examples_are_told():
    program, state = perceptron()
    (doubt,) = about(program, state, [Batch(torch.ones(4, 6), None), Batch(torch.ones(3, 6), None)])
    assert "all 7 examples that were looked at are equal" in doubt


@pytest.mark.parametrize("count", [1, 2, 15])
def test_few_examples_are_not_judged(count: int):
    program, state = perceptron()
    state["0.bias"][:] = -1e3
    x = torch.randn(16, 6)
    assert about(program, state, [Batch(x[:count], None)]) == []
    assert about(program, state, [Batch(x, None)]) != []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_outputs_that_are_not_finite_are_refused(value: float):
    program, state = perceptron()
    with pytest.raises(DataError, match="expected finite outputs of the network, found others"):
        about(program, {name: 20 * tensor for name, tensor in state.items()}, [Batch(torch.full((4, 6), value), None)])
