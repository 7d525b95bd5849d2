"""What `wsp spec` cannot work with, in processes as people start them: one line, exit status 1, nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 3)


class Branch(Base):
    def forward(self, x):
        h = self.first(x)
        return self.second(h) if h.sum() > 0 else h


class Address(Base):
    def forward(self, x):
        h = self.first(x)
        h.data_ptr()
        return self.second(h)


class Overwriting(Base):
    def forward(self, x):
        x.mul_(2)
        return self.second(self.first(x))


class Failing(Base):
    def forward(self, x):
        raise ValueError("no item of that name in the meta data")


class Stored(Base):
    def __init__(self):
        super().__init__()
        self.table = torch.ones(2, 3)

    def forward(self, x):
        return self.table


@torch.library.custom_op("weightspace_cli_test::kernel", mutates_args=())
def kernel(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@torch.library.custom_op("weightspace_cli_test::known", mutates_args=())
def known(x: torch.Tensor) -> torch.Tensor:
    return x * 2


known.register_fake(torch.empty_like)


class Kernel(Base):
    def forward(self, x):
        return self.second(kernel(self.first(x)))


class Unknown(Base):
    def forward(self, x):
        return self.second(known(known(self.first(x))))


class Looking(Base):
    def forward(self, x):
        return self.second(self.first(x)) if x.sum() > -1000 else x


def of(network):
    return lambda: (network(), torch.randn(2, 8))


branch, address, overwriting, failing, stored, with_kernel, unknown, looking = map(
    of, (Branch, Address, Overwriting, Failing, Stored, Kernel, Unknown, Looking)
)


def broken():
    return {}["weights"]
"""


def line_of(text: str) -> int:
    """Number of the only line of MODEL that holds this text."""
    (number,) = [number for number, line in enumerate(MODEL.splitlines(), 1) if text in line]
    return number


@pytest.fixture
def spec(repository: Path, tmp_path: Path):
    """Run `wsp spec` in a folder with the file `model.py`."""
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")

    def spec(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'cli'}"}
        environment["OMP_NUM_THREADS"] = "1"
        command = [sys.executable, "-m", "wsp", "spec", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)

    return spec


@pytest.fixture
def refused(spec, tmp_path: Path):
    """Run it and expect one line that holds some words."""

    def refused(arguments: list[str], *parts: str) -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        done = spec(*arguments)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        for part in parts:
            assert part in done.stderr
        assert "this is a bug" not in done.stderr
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert {path: content for path, content in after.items() if path.suffix != ".pyc"} == before

    return refused


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("branch", ("control flow", "values of its weights", f"model.py:{line_of('if h.sum()')}")),
        ("address", ("asks for the address", f"model.py:{line_of('data_ptr')}", "torch.library.custom_op")),
        ("with_kernel", ("weightspace_cli_test.kernel", "custom kernel", f"model.py:{line_of('kernel(self.first')}")),
        ("overwriting", ("overwrites its input", f"model.py:{line_of('mul_')}", "work on a copy")),
        ("failing", ("the network's own code fails", f"model.py:{line_of('raise')}", "ValueError: no item of that")),
        ("stored", ("an output of the network is not the result of an operator",)),
        ("broken", ("model.py:broken", f"model.py:{line_of('{}[')}", "KeyError")),
    ],
)
def test_networks_that_cannot_be_traced(refused, name: str, parts: tuple[str, ...]) -> None:
    refused([f"model.py:{name}", "-o", "spec.json", "--picture", "net.svg"], "wsp: model.py", *parts)


def test_an_unknown_operator_is_no_error_but_named_with_its_line_and_counted(spec) -> None:
    place = f"model.py:{line_of('known(known(')}"
    done = spec("model.py:unknown", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["groups"] == []
    assert document["uncovered"] == [
        {"operator": "weightspace_cli_test.known.default", "calls": 2, "first_at": place}
    ]  # fmt: skip
    reason = f"no rule for weightspace_cli_test.known.default at {place}"
    assert {"tensor": "first.bias", "axis": 0, "size": 6, "reason": reason} in document["frozen"]
    shares = {share["reason"]: share for share in document["frozen_by_reason"]}
    assert shares[reason] == {"reason": reason, "axes": 3, "parameters": 54 + 18, "unmoved": 54 + 18}


def test_looks_at_the_input_are_told(spec) -> None:
    done = spec("model.py:looking")
    assert done.returncode == 0
    assert done.stderr.startswith("note: the network looks at the values of its input at model.py:")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["model.py:branch", "--picture", "model.py"], ("model.py", ".svg")),
        (["link.svg", "--picture", "link.svg"], ("link.svg", "input", "name another")),
        (["model.py:branch", "--picture", "absent/net.svg"], ("absent", "no such folder", "create it")),
        (["model.py:branch", "--picture", "."], ("expected a name that ends in .svg",)),
        (["model.py:branch", "--picture", "net.png"], ("net.png", ".svg", "browser")),
        (["model.py:branch", "--picture", "a.svg", "-o", "a.svg"], ("a.svg", "-o")),
        (["model.py:branch", "-o", "model.py"], ("model.py", "input")),
        ([""], ("MODEL", "found nothing")),
        (["nothing/here"], ("nothing/here", "no such file")),
        (["absent.json"], ("absent.json", "no such file")),
        (["model.py"], ("model.py:NAME",)),
        (["model.py:"], ("name of a function after the colon",)),
    ],
)
def test_arguments_that_cannot_be(refused, tmp_path: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    if arguments[0] == "link.svg":
        (tmp_path / "link.svg").write_text("<svg/>")
    refused(arguments, *parts)
