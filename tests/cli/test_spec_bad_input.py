"""What `wsp spec` cannot work with, in processes as people start them: one line, exit status 1, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the file `model.py`."""
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def spec(repository: Path, folder: Path):
    """Run `wsp spec` as a process."""

    def spec(*arguments: str) -> Outcome:
        environment = {**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'cli'}"}
        environment["OMP_NUM_THREADS"] = "1"
        command = [sys.executable, "-m", "wsp", "spec", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return spec


@pytest.fixture
def refused(folder: Path):
    """Expect one line that holds some words, and nothing written."""

    def refused(run: Callable[[], Outcome], *parts: str) -> None:
        def files() -> dict[Path, bytes]:
            return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

        before = files()
        run().failed_with(*parts)
        assert files() == before

    return refused


WRITING = ("-o", "spec.json", "--picture", "net.svg")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("branch", ("control flow", "values of its weights", f"model.py:{line_of('if h.sum()')}")),
        ("address", ("asks for the address", f"model.py:{line_of('data_ptr')}", "torch.library.custom_op")),
        ("with_kernel", ("weightspace_cli_test.kernel", "custom kernel", f"model.py:{line_of('kernel(self.first')}")),
        ("failing", ("the network's own code fails", f"model.py:{line_of('raise')}", "ValueError: no item of that")),
    ],
)
def test_networks_that_cannot_be_traced(refused, spec, name: str, parts: tuple[str, ...]) -> None:
    refused(lambda: spec(f"model.py:{name}", *WRITING), f"wsp: model.py:{name}", *parts)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("overwriting", ("overwrites its input", f"model.py:{line_of('mul_')}", "work on a copy")),
        ("stored", ("an output of the network is not the result of an operator",)),
        ("broken", ("its own code fails", f"model.py:{line_of('{}[')}", "KeyError")),
    ],
)
def test_further_networks_that_cannot_be_traced(refused, wsp, name: str, parts: tuple[str, ...]) -> None:
    refused(lambda: wsp("spec", f"model.py:{name}", *WRITING), f"wsp: model.py:{name}", *parts)


def test_an_unknown_operator_is_no_error_but_named_with_its_line_and_counted(spec) -> None:
    place = f"model.py:{line_of('known(known(')}"
    done = spec("model.py:unknown", "--json")
    assert (done.status, done.stderr) == (0, "")
    document = done.document
    assert document["groups"] == []
    assert document["uncovered"] == [
        {"operator": "weightspace_cli_test.known.default", "calls": 2, "first_at": place}
    ]  # fmt: skip
    reason = f"no rule for weightspace_cli_test.known.default at {place}"
    assert {"tensor": "first.bias", "axis": 0, "size": 6, "reason": reason} in document["frozen"]
    shares = {share["reason"]: share for share in document["frozen_by_reason"]}
    assert shares[reason] == {"reason": reason, "axes": 3, "parameters": 54 + 18, "unmoved": 54 + 18}


def test_looks_at_the_input_are_told(wsp, folder) -> None:
    done = wsp("spec", "model.py:looking")
    assert done.status == 0
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
    ],
)
def test_arguments_that_cannot_be(refused, spec, folder: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    (folder / "link.svg").write_text("<svg/>")
    refused(lambda: spec(*arguments), *parts)
