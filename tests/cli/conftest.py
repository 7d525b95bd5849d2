import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from wsp.main import app


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict:
        return json.loads(self.stdout)

    def failed_with(self, *parts: str) -> None:
        """Exit status 1, nothing on stdout, and one line on stderr that holds all of `parts`."""
        assert self.status == 1, (self.stdout, self.stderr)
        assert self.stdout == ""
        assert self.stderr.count("\n") == 1, self.stderr
        assert self.stderr.endswith("\n")
        for part in parts:
            assert part in self.stderr
        assert "this is a bug" not in self.stderr


Run = Callable[..., Outcome]


@pytest.fixture
def wsp() -> Run:
    """Run a command in this process."""

    def run(*arguments: object) -> Outcome:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="wsp")
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def start(repository: Path):
    """Start a command in a process of its own: `python -m wsp`."""

    def start(*arguments: object, **options) -> subprocess.Popen:
        paths = f"{repository}{os.pathsep}{repository / 'cli'}"
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | options.pop("env", {})
        command = [sys.executable, "-m", "wsp", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, text=True, env=environment, **options)

    return start


def mlp(seed: int, width: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def permuted(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """The hidden units of `mlp` in another order: the same function."""
    generator = torch.Generator().manual_seed(seed)
    width = len(state["0.weight"])
    p, q = torch.randperm(width, generator=generator), torch.randperm(width, generator=generator)
    return {
        "0.weight": state["0.weight"][p],
        "0.bias": state["0.bias"][p],
        "2.weight": state["2.weight"][q][:, p],
        "2.bias": state["2.bias"][q],
        "4.weight": state["4.weight"][:, q],
        "4.bias": state["4.bias"],
    }


@pytest.fixture
def mlp_pair(tmp_path: Path) -> tuple[Path, Path]:
    """An MLP, and the same one with its hidden units in another order, as files."""
    state = mlp(0).state_dict()
    a, b = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save(state, a)
    torch.save(permuted(state, 1), b)
    return a, b


@pytest.fixture
def cnn_pair(tmp_path: Path) -> tuple[Path, Path, str]:
    """Two CNNs with batch norm as files, and the source of their architecture."""
    source = tmp_path / "nets.py"
    source.write_text(
        dedent(
            """
            from torch import nn

            def cnn():
                features = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
                return nn.Sequential(*features, nn.Flatten(), nn.Linear(24, 3))
            """
        )
    )
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        net.append(nn.Linear(24, 3))
        net(torch.rand(16, 1, 8, 8))  # running statistics that are not the initial ones
        paths.append(tmp_path / f"cnn{seed}.pt")
        torch.save(net.state_dict(), paths[-1])
    return paths[0], paths[1], f"{source}:cnn"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """40 grey images of 8 x 8 with labels below 3."""
    generator = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(
        path,
        x=generator.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8),
        y=generator.integers(0, 3, 40).astype(np.int64),
    )
    return path


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """30 feature vectors for `mlp_pair`, labelled by the network itself."""
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "features.npz"
    with torch.no_grad():
        np.savez(path, x=x.numpy(), y=mlp(0)(x).argmax(1).numpy())
    return path
