"""The recipe for networks that know half of the classes each."""

import os
import subprocess
import sys

import numpy as np
import pytest

from weightspace.checkpoint import open_checkpoint


@pytest.fixture
def images(tmp_path):
    """Images that are as bright as their class is large."""
    generator = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for name, size in (("train", 600), ("test", 200)):
        y = generator.integers(0, 10, size)
        x = (y[:, None, None] * 25 + generator.integers(0, 20, (size, 28, 28))).astype(np.uint8)
        np.savez(tmp_path / "data" / f"{name}.npz", x=x, y=y)
    return tmp_path / "data"


def test_it_makes_the_same_networks_twice_each_for_its_own_classes(repository, images, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    script = repository / "checkpoints_zoo" / "train_halves.py"
    for folder in ("one", "two"):
        command = [sys.executable, script, "mnist_mlp", "--data", images, "--out", tmp_path / folder]
        done = subprocess.run(
            [*command, "--epochs", "12", "--seeds", "1"], check=True, env=environment, capture_output=True, text=True
        )
        reached = [float(line.split()[-2]) for line in done.stdout.splitlines()]
        assert len(reached) == 2
        assert min(reached) > 30  # of five classes
    networks = []
    for half in ("first", "last"):
        one, two = (tmp_path / folder / f"mnist_mlp_{half}_0.safetensors" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        networks.append(open_checkpoint(one))
        assert networks[-1].info("fc3.weight").shape == (5, 64)
    assert not (networks[0]["fc1.bias"] == networks[1]["fc1.bias"]).any()
