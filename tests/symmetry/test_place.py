"""The lines of a network's own code by which operators and failures are named."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from weightspace.symmetry import Spec, derive
from weightspace.symmetry.trace import trace
from weightspace.symmetry.uncovered import Uncovered

MODEL = """import torch; from torch import nn


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.mix, self.second = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.first(x)
        for _ in range(3):
            x = x @ torch.ops.weightspace_test.mystery(self.mix.weight)
        return self.second(x)


class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(nn.Linear(4, 6), nn.ReLU())

    def forward(self, x):
        return self.stack(x)
"""


@torch.library.custom_op("weightspace_test::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    """An operator that nobody will ever write a rule for."""
    return x.sort(0).values


@mystery.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(tmp_path: Path) -> ModuleType:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return loaded(path)


def test_an_operator_without_a_rule_is_named_with_its_line(model: ModuleType):
    spec = derive(model.Mixing().eval(), (torch.randn(2, 4),))
    assert spec.uncovered == (Uncovered("weightspace_test.mystery.default", 3, "model.py:12"),)
    reasons = {frozen.reason for frozen in spec.frozen}
    assert "no rule for weightspace_test.mystery.default at model.py:12" in reasons
    assert spec.groups == ()


def test_the_list_is_saved_but_does_not_count_in_the_hash(model: ModuleType, tmp_path: Path):
    spec = derive(model.Mixing().eval(), (torch.randn(2, 4),))
    spec.save(tmp_path / "spec.json")
    loaded = Spec.load(tmp_path / "spec.json")
    assert loaded.uncovered == spec.uncovered
    assert loaded.hash == spec.hash
    assert Spec(spec.all_groups, spec.tensors, spec.aliases).hash == spec.hash


def test_a_call_by_a_layer_of_pytorch_belongs_to_the_line_that_called_the_layer(model: ModuleType):
    calls = trace(model.Inside().eval(), (torch.randn(2, 4),)).calls
    assert [call.place for call in calls if call.name == "addmm"] == ["model.py:22"]


def test_without_code_of_the_network_the_layer_is_named():
    calls = trace(nn.Sequential(nn.Linear(4, 6), nn.ReLU()).eval(), (torch.randn(2, 4),)).calls
    places = [call.place for call in calls]
    assert [place.rpartition(":")[0] for place in places if place] == [
        "torch/nn/modules/linear.py",
        "torch/nn/modules/linear.py",
        "torch/nn/modules/activation.py",
    ]


def test_a_package_is_named_from_its_root(tmp_path: Path):
    (tmp_path / "nets" / "deep").mkdir(parents=True)
    for folder in ("nets", "nets/deep"):
        (tmp_path / folder / "__init__.py").touch()
    path = tmp_path / "nets" / "deep" / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    spec = derive(loaded(path).Mixing().eval(), (torch.randn(2, 4),))
    assert [operator.place for operator in spec.uncovered] == ["nets/deep/model.py:12"]
