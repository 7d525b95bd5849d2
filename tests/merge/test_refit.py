"""Layers solved for: exact where they can be, else nearer to the mean features, and better merges of real networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import built_of, gpt2, resnet20
from weightspace.align import align
from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.errors import DataError
from weightspace.evaluate import evaluate, interpolate
from weightspace.merge.in_turn import refit_in_turn
from weightspace.merge.refit import refit
from weightspace.source import Inputs, Program, resolve_source
from weightspace.stats import reset_batchnorm
from weightspace.symmetry import derive, randomized

METHODS = [refit, refit_in_turn]
ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"


def perceptron() -> tuple[nn.Module, Inputs]:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)), Inputs(
        (torch.randn(8, 6),)
    )


def calls_of(program: Program, count: int = 6, size: int = 32) -> list[Inputs]:
    generator = torch.Generator().manual_seed(5)

    def anew(tensor: Tensor) -> Tensor:
        shape = (size, *tensor.shape[1:])
        if tensor.is_floating_point():
            return torch.randn(shape, generator=generator)
        return torch.randint(61, shape, generator=generator)

    return [program.inputs.map_tensors(anew) for _ in range(count)]


def error(
    program: Program,
    state: dict[str, Tensor],
    ends: list[dict[str, Tensor]],
    calls: list[Inputs],
    merged: Program | None = None,
) -> float:
    """Mean squared distance of the output from the mean of the outputs of some networks, over its variance."""
    left = spread = 0.0
    for inputs in calls:
        target = torch.stack([program.outputs(end, inputs)[0] for end in ends]).mean(0)
        own = merged or program
        left += float((own.outputs(state, own.call_of(inputs))[0] - target).square().mean())
        spread += float(target.var(correction=0))
    return left / spread


def vit() -> tuple[nn.Module, Inputs]:
    timm = pytest.importorskip("timm")
    network = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=5
    )
    return network, Inputs((torch.randn(2, 3, 16, 16),))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("build", [perceptron, resnet20, gpt2, vit])
def test_a_network_merged_with_itself_stays_what_it_is(method, build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a = randomized(program.state(), spec, 0)
    calls = calls_of(program, 2, 4)
    found = method(program, [a, a], a, lambda: calls, ridge=1e-8)
    assert error(program, found.state, [a], calls) < 1e-6
    assert max(found.residuals.values()) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_a_permuted_copy_merges_to_the_original(method):
    torch.manual_seed(0)
    program, spec = built_of(perceptron())
    a = randomized(program.state(), spec, 0)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    aligned = align(a, b, spec).apply(b)
    calls = calls_of(program)
    found = method(program, [a, aligned], interpolate(a, aligned, 0.5), lambda: calls)
    assert error(program, found.state, [a], calls) < 1e-8


def test_one_layer_is_the_mean_of_the_layers():
    torch.manual_seed(0)
    program, _ = built_of((nn.Linear(5, 4), Inputs((torch.randn(3, 5),))))
    a, b = ({name: torch.randn_like(tensor) for name, tensor in program.state().items()} for _ in range(2))
    calls = calls_of(program)
    start = {name: torch.randn_like(tensor) for name, tensor in a.items()}
    for method in METHODS:
        found = method(program, [a, b], start, lambda: calls, ridge=1e-10).state
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, (a[name] + b[name]) / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("build", [perceptron, resnet20, gpt2])
def test_each_is_nearer_to_the_mean_of_the_outputs_than_the_mean_of_the_weights(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    a, b = (randomized(program.state(), spec, seed) for seed in range(2))
    aligned = align(a, b, spec).apply(b)
    middle = interpolate(a, aligned, 0.5)
    calls = calls_of(program, 2, 32)
    at_once, in_turn = (method(program, [a, aligned], middle, lambda: calls).state for method in METHODS)
    errors = [error(program, state, [a, aligned], calls) for state in (middle, at_once, in_turn)]
    assert errors[2] < errors[0]
    assert errors[2] < errors[1]


@pytest.mark.parametrize("method", METHODS)
def test_without_data_it_says_so(method):
    program, _ = built_of(perceptron())
    with pytest.raises(DataError, match="at least one batch, found none"):
        method(program, [program.state()] * 2, program.state(), list)


def test_real_networks_merge_better_than_their_mean():
    source = resolve_source(f"{ZOO / 'models.py'}:digits_cnn")
    program, inputs = Program.from_source(source), source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    a, b = (dict(open_checkpoint(ZOO / f"digits_cnn_{seed}.safetensors").items()) for seed in (0, 1))
    data = open_data(ZOO / "digits")
    calls = [program.inputs_for(x) for x, _ in data.statistics.batches(100, samples=1000, shuffle_seed=0)]
    aligned = align(a, b, spec, method="activations", program=program, batches=lambda: calls).apply(b)
    middle = interpolate(a, aligned, 0.5)

    def accuracy(state: dict[str, Tensor]) -> float:
        measured = reset_batchnorm(program, state, data.statistics.batches(500, samples=1000, shuffle_seed=0))
        return evaluate(program, measured, data.evaluation.batches(500)).accuracy

    at_once, in_turn = (method(program, [a, aligned], middle, lambda: calls).state for method in METHODS)
    assert accuracy(at_once) >= accuracy(middle) - 0.005
    assert accuracy(in_turn) >= accuracy(middle)
    assert evaluate(program, in_turn, data.evaluation.batches(500)).accuracy > 0.9  # its statistics are right as it is


def test_layers_that_share_a_tensor_stay_as_they_are():
    """The tied head of GPT-2 is its table of embeddings, which no layer may be solved for."""
    torch.manual_seed(0)
    program, spec = built_of(gpt2())
    a, b = (randomized(program.state(), spec, seed) for seed in range(2))
    middle = interpolate(a, align(a, b, spec).apply(b), 0.5)
    calls = calls_of(program, 1, 4)
    for method in METHODS:
        found = method(program, [a, b], middle, lambda: calls)
        assert "transformer.wte.weight" not in found.residuals
        assert found.residuals
        assert torch.equal(found.state["transformer.wte.weight"], middle["transformer.wte.weight"])
