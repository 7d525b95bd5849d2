"""`--method` with the methods that go by data."""

from __future__ import annotations

import json

import pytest

from weightspace.align.methods import ste
from weightspace.checkpoint import open_checkpoint


@pytest.mark.parametrize("method", ["activations", "activations-pre", "activations-all", "activations-inner"])
def test_a_permuted_copy_comes_back(wsp, mlp_pair, features, tmp_path, method: str) -> None:
    a, b = mlp_pair
    output = tmp_path / "aligned.safetensors"
    outcome = wsp(
        "align", a, b, "-o", output, "--data", features, "--activation", "relu", "--method", method,
        "--match-samples", 20, "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["method"] == method
    assert outcome.document["figures"]["samples"] == 20
    aligned, reference = open_checkpoint(output).tensors(), open_checkpoint(a).tensors()
    equal = (aligned["0.weight"] == reference["0.weight"]).all(1)
    assert int(equal.sum()) >= 6  # no activation tells apart the two that are dead on these examples
    assert method in ("activations", "activations-inner") or bool(equal.all())
    assert json.loads((tmp_path / "aligned.wsp.json").read_text())["recipe"]["match_samples"] == 20


def test_learned_on_labels(wsp, cnn_pair, images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ste, "STEPS", 3)
    a, b, arch = cnn_pair
    output = tmp_path / "merged.safetensors"
    outcome = wsp("merge", a, b, "-o", output, "--arch", arch, "--data", images, "--align", "ste", "--json")
    assert outcome.status == 0, outcome.stderr
    figures = outcome.document["figures"]
    assert 0 < figures["loss"] <= figures["loss_at_start"]


def test_figures_are_shown(wsp, mlp_pair, features, tmp_path) -> None:
    outcome = wsp(
        "align", *mlp_pair, "-o", tmp_path / "c.safetensors", "--data", features, "--activation", "relu",
        "--method", "activations",
    )  # fmt: skip
    assert "samples: 30, taps: 2" in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("method", ["activations", "ste"])
def test_without_data(wsp, mlp_pair, tmp_path, method: str) -> None:
    outcome = wsp("align", *mlp_pair, "-o", tmp_path / "c.safetensors", "--activation", "relu", "--method", method)
    outcome.failed_with(f"method '{method}': expected data (--data), found none")


def test_without_the_activation_functions(wsp, mlp_pair, features, tmp_path) -> None:
    outcome = wsp("align", *mlp_pair, "-o", tmp_path / "c.safetensors", "--data", features, "--method", "activations")
    outcome.failed_with("--activation")


def test_with_a_saved_spec(wsp, mlp_pair, features, tmp_path) -> None:
    spec = tmp_path / "spec.json"
    assert wsp("spec", mlp_pair[0], "-o", spec).status == 0
    output = tmp_path / "c.safetensors"
    outcome = wsp("align", *mlp_pair, "-o", output, "--arch", spec, "--data", features, "--method", "activations")
    outcome.failed_with("a saved spec has no network to run")
