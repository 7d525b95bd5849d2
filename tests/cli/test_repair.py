"""`wsp merge --repair`, and what it says about data that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source

ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"
DATA = ZOO / "digits"


def command(name: str, *options: object, data: Path = DATA) -> tuple[object, ...]:
    pair = (ZOO / f"{name}_{seed}.safetensors" for seed in (0, 1))
    return "merge", *pair, "--arch", f"{ZOO / 'models.py'}:{name}", "--data", data, *options


def accuracy(name: str, path: Path) -> float:
    program = Program.from_source(resolve_source(f"{ZOO / 'models.py'}:{name}"))
    return evaluate(program, open_checkpoint(path).tensors(), open_data(DATA).evaluation.batches(500)).accuracy


@pytest.mark.parametrize(
    ("name", "layers", "method"),
    [
        ("digits_mlp", {"fc1.weight", "fc2.weight", "fc3.weight"}, "activations"),
        ("digits_cnn", {"fc.weight"}, "weights"),
    ],
)
def test_it_is_better_than_the_mean(wsp, tmp_path, name: str, layers: set[str], method: str) -> None:
    mean, merged = tmp_path / "mean.safetensors", tmp_path / "merged.safetensors"
    assert wsp(*command(name, "--align", method, "-o", mean)).status == 0
    outcome = wsp(*command(name, "--align", method, "--repair", "-o", merged, "--json"))
    assert outcome.status == 0, outcome.stderr
    assert accuracy(name, merged) > accuracy(name, mean)
    assert set(outcome.document["repaired"]) == layers
    assert all(each["shifted"] and not each["dead"] for each in outcome.document["repaired"].values())
    recipe = json.loads(merged.with_name("merged.wsp.json").read_text())["recipe"]
    assert recipe["repaired"] == outcome.document["repaired"]
    assert recipe["statistics"] == ("measured" if name == "digits_cnn" else "none")


def test_people_see_what_was_corrected(wsp, tmp_path) -> None:
    outcome = wsp(*command("digits_mlp", "--repair", "--align", "none", "-o", tmp_path / "m.safetensors"))
    assert outcome.status == 0, outcome.stderr
    assert "layers repaired" in outcome.stdout
    assert "fc3.weight" in outcome.stdout
    assert "no batch norm" not in outcome.stderr


def test_a_share_counts_for_the_moments_as_well(wsp, tmp_path) -> None:
    """All of A, repaired, is A."""
    merged = tmp_path / "m.safetensors"
    assert wsp(*command("digits_mlp", "--repair", "--t", "0", "-o", merged)).status == 0
    expected = open_checkpoint(ZOO / "digits_mlp_0.safetensors")
    for name, tensor in open_checkpoint(merged).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["pleas", "zipit"])
def test_what_goes_by_features_itself_is_not_repaired(wsp, tmp_path, method: str) -> None:
    output = tmp_path / "m.safetensors"
    wsp(*command("digits_mlp", "--method", method, "--repair", "-o", output)).failed_with("--repair", method, "drop")
    assert not output.exists()


def test_without_data_it_is_refused(wsp, mlp_pair, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    wsp("merge", *mlp_pair, "--repair", "-o", output).failed_with("--repair", "--data", "found none")
    assert not output.exists()


def test_what_the_network_computes_has_to_be_known(wsp, mlp_pair, features, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp("merge", *mlp_pair, "--data", features, "--repair", "-o", output)
    outcome.failed_with("activation between the layers", "--activation")
    assert not output.exists()


def rescaled(path: Path, factor: float) -> Path:
    split = open_data(DATA).evaluation
    batch = next(iter(split.batches(100)))
    assert batch.y is not None
    np.savez(path, x=factor * batch.x.numpy(), y=batch.y.numpy())
    return path


@pytest.mark.parametrize(
    "method", [(), ("--align", "activations"), ("--method", "pleas", "--rounds", "0"), ("--method", "zipit")]
)
def test_data_of_another_scale_are_warned_of(wsp, tmp_path, method: tuple[str, ...]) -> None:
    options = (*method, "-o", tmp_path / "m.safetensors")
    outcome = wsp(*command("digits_cnn", *options, "--json", data=rescaled(tmp_path / "x.npz", 100.0)))
    assert outcome.status == 0, outcome.stderr
    assert outcome.stderr.count("warning: the data: inputs of batch norms lie") == 1
    assert any("check the normalisation" in note for note in outcome.document["notes"])
    outcome = wsp(*command("digits_cnn", *options, data=rescaled(tmp_path / "x.npz", 1.0)))
    assert "warning" not in outcome.stderr


def test_data_that_give_no_numbers_are_refused(wsp, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp(*command("digits_mlp", "-o", output, data=rescaled(tmp_path / "x.npz", 1e38)))
    outcome.failed_with("the data", "expected finite outputs")
    assert not output.exists()
