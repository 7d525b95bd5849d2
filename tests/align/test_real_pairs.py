"""Real checkpoints that nobody here trained, on real test sets, against figures of an independent run."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from weightspace.align import Alignment, align
from weightspace.checkpoint import open_checkpoint
from weightspace.data import Normalization, Split, open_data
from weightspace.evaluate import evaluate, interpolate
from weightspace.source import Program, resolve_source
from weightspace.symmetry import Spec, derive

State = dict[str, Tensor]
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Pair:
    """Two checkpoints of one network, the second also aligned to the first."""

    def __init__(self, paths: list[Path], arch: str | None = None, activation: str | None = None) -> None:
        first, second = (open_checkpoint(path) for path in paths)
        source = resolve_source(arch, checkpoint=first, activation=activation)
        self.program = Program.from_source(source)
        inputs = source.example_inputs()
        self.spec: Spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
        self.a, self.b = first.tensors(), second.tensors()
        self.alignment: Alignment = align(self.a, self.b, self.spec, forward=self.program.outputs)
        self.aligned = self.alignment.apply(self.b)

    def accuracy(self, state: State, split: Split, samples: int | None = None, normalization=None) -> float:
        batches = split.batches(500, samples=samples, normalization=normalization)
        return 100 * evaluate(self.program, state, batches).accuracy


@pytest.fixture(scope="module")
def perceptrons(shared_data: Path) -> Pair:
    return Pair([shared_data / "mlp_seeds" / f"mnist_mlp_seed{seed}.pt" for seed in (0, 1)], activation="relu")


@pytest.fixture(scope="module")
def resnets(shared_data: Path, repository: Path) -> Pair:
    folder = shared_data / "resnet_cifar10" / "resnet20"
    arch = f"{repository / 'checkpoints_zoo' / 'cifar_resnet.py'}:resnet20"
    return Pair([folder / f"DanSun18_run_8_{run}_model.th" for run in (1, 2)], arch)


def test_two_perceptrons_on_mnist_meet_in_the_middle(perceptrons: Pair, shared_data: Path):
    pair, split = perceptrons, open_data(shared_data / "mnist").evaluation
    assert pair.accuracy(pair.a, split) == pytest.approx(96.9, abs=0.06)
    assert pair.accuracy(pair.aligned, split) == pair.accuracy(pair.b, split) == pytest.approx(97.0, abs=0.06)
    assert pair.accuracy(interpolate(pair.a, pair.b, 0.5), split) == pytest.approx(77.1, abs=0.1)
    assert pair.accuracy(interpolate(pair.a, pair.aligned, 0.5), split) >= 93.9
    assert pair.alignment.preservation_error is not None
    assert pair.alignment.preservation_error < 1e-6
    assert all(report.gain > 0 for report in pair.alignment.groups)


def test_two_residual_networks_on_cifar10_keep_their_function(resnets: Pair, shared_data: Path):
    pair, split = resnets, open_data(shared_data / "cifar10").evaluation
    assert pair.alignment.preservation_error is not None
    assert pair.alignment.preservation_error <= 1e-5
    moved = {name: tensor.float() for name, tensor in pair.aligned.items()}
    for found, expected in zip(pair.program.outputs(moved), pair.program.outputs(pair.b), strict=True):
        assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5
    ends = [pair.accuracy(state, split, 500, IMAGENET) for state in (pair.a, pair.b, pair.aligned)]
    assert ends[0] == pytest.approx(93.1, abs=1.5)  # of the first 2,000 images; here of the first 500
    assert ends[1] == ends[2] == pytest.approx(92.8, abs=1.5)
    assert pair.accuracy(interpolate(pair.a, pair.b, 0.5), split, 500, IMAGENET) == pytest.approx(10.0, abs=3.0)


def test_residual_networks_of_option_a_have_one_group_for_both_padded_sides(resnets: Pair):
    sizes = sorted(group.size for group in resnets.spec.groups)
    # One for the channels that all stages share, one for the padding of each later stage, one inside of every block.
    assert sizes == sorted([16, 16, 32, *[16] * 3, *[32] * 3, *[64] * 3])
    assert resnets.alignment.objective_after > 2 * resnets.alignment.objective_before
