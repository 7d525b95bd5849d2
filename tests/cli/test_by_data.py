"""`wsp merge` of any number of networks by data: soups, RegMean, means by Fisher information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.conftest import mlp, permuted
from weightspace.checkpoint import open_checkpoint

METHODS = ["uniform_soup", "greedy_soup", "regmean", "fisher"]


@pytest.fixture
def folder(tmp_path, features) -> Path:
    """A network, two permuted copies of it, and another one."""
    state = mlp(0).state_dict()
    for number, each in enumerate((state, permuted(state, 1), permuted(state, 2), mlp(5).state_dict())):
        torch.save(each, tmp_path / f"{number}.pt")
    return tmp_path


def command(folder: Path, *numbers: int) -> list[object]:
    models = [folder / f"{number}.pt" for number in numbers]
    return ["merge", *models, "--activation", "relu", "--data", folder / "features.npz"]


@pytest.mark.parametrize("method", METHODS)
def test_permuted_copies_that_are_aligned_merge_to_the_original(wsp, folder, method: str) -> None:
    out = folder / "out"
    outcome = wsp(*command(folder, 0, 1, 2), "--align", "weights", "--method", method, "-o", out, "--json")
    assert outcome.status == 0, outcome.stderr
    merged = open_checkpoint(out)
    for name, tensor in mlp(0).state_dict().items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-4, atol=1e-5)
    assert outcome.document["scores"]["merged"]["accuracy"] == 1.0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert wsp("merge", out / "recipe.yml", "-o", folder / "again").status == 0
    assert {path.name: path.read_bytes() for path in (folder / "again").iterdir()} == before


def test_the_greedy_soup_says_which_it_took(wsp, folder) -> None:
    torch.save(mlp(0).state_dict(), folder / "1.pt")
    outcome = wsp(*command(folder, 3, 0, 1), "--method", "greedy_soup", "-o", folder / "m.safetensors", "--json")
    assert outcome.status == 0, outcome.stderr
    tried = {Path(each["model"]).name: each["taken"] for each in outcome.document["tried"]}
    assert tried == {"0.pt": True, "1.pt": True, "3.pt": False}
    shown = wsp(*command(folder, 3, 0, 1), "--method", "greedy_soup", "-o", folder / "m.safetensors").stdout
    assert "greedy soup of 2 of 3 models" in shown


def test_a_uniform_soup_without_data_is_linear(wsp, folder) -> None:
    models = [folder / f"{number}.pt" for number in range(4)]
    for method in ("linear", "uniform_soup"):
        assert wsp("merge", *models, "--method", method, "-o", folder / f"{method}.safetensors").status == 0
    one, two = (open_checkpoint(folder / f"{method}.safetensors") for method in ("linear", "uniform_soup"))
    for name in one:
        torch.testing.assert_close(one[name], two[name])


@pytest.mark.parametrize("method", METHODS)
def test_statistics_of_batch_norms_are_measured_again(wsp, cnn_pair, images, tmp_path, method: str) -> None:
    a, b, arch = cnn_pair
    outcome = wsp(
        "merge", a, b, "--arch", arch, "--input-shape", "1,8,8", "--data", images, "--method", method,
        "-o", tmp_path / "m", "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["statistics"] in ("measured", "kept" if method == "greedy_soup" else "measured")


@pytest.mark.parametrize("method", ["regmean", "fisher"])
def test_models_may_have_data_and_weights_of_their_own(wsp, folder, method: str) -> None:
    generator = np.random.default_rng(0)
    np.savez(folder / "other.npz", x=generator.standard_normal((20, 12)).astype(np.float32))
    (folder / "r.yml").write_text(
        f"merge_method: {method}\nactivation: relu\nmodels:\n- {{model: 0.pt, data: features.npz}}\n"
        "- {model: 3.pt, data: {path: other.npz, samples: 10}}\n"
    )
    assert wsp("merge", folder / "r.yml", "-o", folder / "own").status == 0
    assert wsp("merge", folder / "own" / "recipe.yml", "-o", folder / "again").status == 0
    assert (folder / "own/model.safetensors").read_bytes() == (folder / "again/model.safetensors").read_bytes()
    common = wsp(*command(folder, 0, 3), "--method", method, "-o", folder / "common")
    assert common.status == 0, common.stderr
    one, two = open_checkpoint(folder / "own"), open_checkpoint(folder / "common")
    assert not torch.equal(one["2.weight"], two["2.weight"])


def test_a_model_that_does_not_count_is_not_seen(wsp, folder) -> None:
    options = ("--method", "fisher", "--set", "weight=1,0", "--set", "draws=0", "-o", folder / "m.safetensors")
    outcome = wsp(*command(folder, 0, 3), *options)
    assert outcome.status == 0, outcome.stderr
    merged = open_checkpoint(folder / "m.safetensors")
    torch.testing.assert_close(merged["2.weight"], mlp(0).state_dict()["2.weight"])


@pytest.mark.parametrize(
    ("method", "more", "words"),
    [
        ("greedy_soup", ("--set", "alpha=1"), ["method greedy_soup: alpha", "expected one of reset_samples"]),
        ("regmean", ("--set", "alpha=2"), ["method regmean: alpha", "less than or equal to 1"]),
        ("fisher", ("--set", "floor=0"), ["method fisher: floor", "greater than 0"]),
        ("fisher", ("--set", "weight=0,0"), ["weights of at least 0, not all 0"]),
        ("regmean", ("--t", "0.3"), ["--method regmean", "no --t"]),
        ("regmean", ("--dtype", "float16"), ["no dtype"]),
    ],
)
def test_options_of_others_and_wrong_values(wsp, folder, method, more, words) -> None:
    wsp(*command(folder, 0, 3), "--method", method, *more, "-o", folder / "out").failed_with(*words)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("method", METHODS)
def test_one_model_is_no_merge(wsp, folder, method: str) -> None:
    outcome = wsp(*command(folder, 0), "--method", method, "-o", folder / "out")
    outcome.failed_with(f"method {method}", "2 or more models, found 1")


@pytest.mark.parametrize("method", METHODS[1:])
def test_without_data(wsp, folder, method: str) -> None:
    outcome = wsp("merge", folder / "0.pt", folder / "3.pt", "--method", method, "-o", folder / "out")
    outcome.failed_with(f"method {method}", "--data", "found none")


@pytest.mark.parametrize("more", [("greedy_soup",), ("fisher", "--set", "given_labels=true")])
def test_without_labels(wsp, folder, more) -> None:
    np.savez(folder / "features.npz", x=np.zeros((20, 12), np.float32))
    outcome = wsp(*command(folder, 0, 3), "--method", *more, "-o", folder / "out")
    outcome.failed_with("expected labels, found inputs alone")
    assert not (folder / "out").exists()
