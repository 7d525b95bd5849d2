"""Two real MLPs on the real MNIST test set, against figures of an independent run."""

import pytest

from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import loss_curve
from weightspace.source import Program, resolve_source


def test_the_naive_path_between_two_mnist_networks(shared_data):
    a, b = (open_checkpoint(shared_data / "mlp_seeds" / f"mnist_mlp_seed{seed}.pt") for seed in (0, 1))
    program = Program.from_source(resolve_source(None, checkpoint=a, activation="relu"))
    split = open_data(shared_data / "mnist").evaluation
    curve = loss_curve(program, a.tensors(), b.tensors(), lambda: split.batches(2000), points=3)
    assert [100 * value for value in curve.accuracy] == pytest.approx([96.9, 77.1, 97.0], abs=0.1)
    assert curve.barrier == pytest.approx(0.728, abs=0.01)
