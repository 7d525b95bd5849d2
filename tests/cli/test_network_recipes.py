"""Recipes whose method merges networks: as their flags, byte for byte, and again from the recipe beside the output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"


@pytest.fixture
def folder(tmp_path, mlp_pair, features) -> Path:
    (tmp_path / "recipe.yml").write_text(
        "merge_method: rebasin\nmodels: [{model: a.pt}, {model: b.pt}]\nactivation: relu\ndata: features.npz\n"
        "align: {method: activations, samples: 20}\nparameters: {t: 0.25, repair: true, reset_samples: 10}\nseed: 3\n"
    )
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_recipe_beside_the_output_gives_the_same_bytes(wsp, folder) -> None:
    outcome = wsp("merge", folder / "recipe.yml", "-o", folder / "one", "--json")
    assert outcome.status == 0, outcome.stderr
    assert (outcome.document["t"], outcome.document["method"]) == (0.25, "activations")
    outcome = wsp("merge", folder / "one" / "recipe.yml", "-o", folder / "two")
    assert outcome.status == 0, outcome.stderr
    assert files(folder / "one") == files(folder / "two")
    provenance = json.loads((folder / "one" / "wsp.json").read_text())
    assert provenance["recipe"]["resolved"]["parameters"] == {"t": 0.25, "repair": True, "reset_samples": 10}


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("rebasin", ("--t", "0.25", "--repair")),
        ("rebasin", ("--align", "none")),
        ("pleas", ("--rounds", "1", "--kinds", "permutation,scale", "--match-samples", "20")),
        ("pleas", ("--rounds", "1", "--size", "1.3", "--size-by", "flops")),
        ("zipit", ("--until", "2.weight", "--seed", "2")),
    ],
)
def test_flags_make_a_recipe_that_gives_the_same_bytes(wsp, folder, features, method, flags) -> None:
    command = ("merge", folder / "a.pt", folder / "b.pt", "--method", method, "--activation", "relu", *flags)
    outcome = wsp(*command, "--data", features, "-o", folder / "one")
    assert outcome.status == 0, outcome.stderr
    outcome = wsp("merge", folder / "one" / "recipe.yml", "-o", folder / "two")
    assert outcome.status == 0, outcome.stderr
    assert files(folder / "one") == files(folder / "two")


TWO = "models: [{model: a.pt}, {model: b.pt}]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("merge_method: pleas\n" + TWO, ["method pleas", "data", "found none"]),
        ("merge_method: rebasin\nmodels: [{model: a.pt}]\n", ["method rebasin", "two models, found 1"]),
        ("merge_method: rebasin\nbase_model: a.pt\n" + TWO, ["no base_model", "drop it"]),
        ("merge_method: rebasin\ndtype: float16\n" + TWO, ["no dtype", "drop it"]),
        ("merge_method: rebasin\nparameters: {tt: 1}\n" + TWO, ["'tt'", "did you mean 't'?"]),
        ("merge_method: rebasin\nparameters: {t: 2}\n" + TWO, ["method rebasin: t", "less than or equal to 1"]),
        ("merge_method: rebasin\nparameters: {repair: true}\n" + TWO, ["--repair", "--data", "found none"]),
        ("merge_method: rebasin\nparameters: {rounds: 3}\n" + TWO, ["'rounds'"]),
        (
            "merge_method: pleas\ndata: features.npz\nparameters: {rounds: [1, 2]}\n" + TWO,
            ["method pleas: rounds", "valid integer"],
        ),
        ("merge_method: zipit\ndata: features.npz\nalign: none\n" + TWO, ["aligned networks", "--align none"]),
        (
            "merge_method: rebasin\nmodels: [{model: a.pt, data: features.npz}, {model: b.pt}]\n",
            ["data of all models together", "a.pt"],
        ),
        (
            "merge_method: rebasin\nmodels: [{model: a.pt, parameters: {weight: 2}}, {model: b.pt}]\n",
            ["a.pt", "expected one of none, found 'weight'"],
        ),
    ],
)
def test_mistakes_are_one_line(wsp, folder, text: str, words: list[str]) -> None:
    (folder / "recipe.yml").write_text(text)
    for command in (("merge",), ("check",), ("merge", "--dry-run")):
        wsp(*command, folder / "recipe.yml", "-o", folder / "out").failed_with(*words)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--t", "0.3"), ["recipe.yml", "--t beside it"]),
        (("--method", "pleas"), ["--method beside it"]),
        (("--set", "weight=2"), ["--set beside it"]),
    ],
)
def test_flags_beside_a_recipe_are_not_passed_over(wsp, folder, flags, words) -> None:
    wsp("merge", folder / "recipe.yml", *flags, "-o", folder / "out").failed_with(*words)


@pytest.mark.parametrize(
    ("method", "flags", "words"),
    [
        ("linear", ("--t", "0.3"), ["--method linear", "no --t", "--method rebasin"]),
        ("linear", ("--repair",), ["no --repair"]),
        ("rebasin", ("--base", "a.pt"), ["no base_model"]),
        ("rebasin", ("--set", "weight=1"), ["expected one of", "'weight'"]),
    ],
)
def test_flags_of_other_methods_are_not_passed_over(wsp, folder, method, flags, words) -> None:
    outcome = wsp("merge", folder / "a.pt", folder / "b.pt", "--method", method, *flags, "-o", folder / "out")
    outcome.failed_with(*words)


def test_a_check_says_what_it_cannot_see(wsp, folder) -> None:
    outcome = wsp("check", folder / "recipe.yml")
    assert outcome.status == 0, outcome.stderr
    assert "6 tensors in 2 models, fit; whether the network takes these" in " ".join(outcome.stdout.split())
    assert wsp("merge", "--dry-run", folder / "recipe.yml", "-o", folder / "out").status == 0
    assert not (folder / "out").exists()


def test_the_methods_of_networks_are_listed(wsp) -> None:
    listed = {method["name"]: method for method in wsp("methods", "--json").document["methods"]}
    assert listed["rebasin"]["data"] == "optional"
    assert listed["pleas"]["models"] == [2, 2]
    assert "rounds" in wsp("methods", "pleas").stdout


@pytest.mark.parametrize("method", ["rebasin", "linear"])
def test_what_is_aligned_are_whole_models(wsp, folder, method) -> None:
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    (folder / "recipe.yml").write_text(
        f"merge_method: {method}\nalign: weights\nmodels: [{{model: a.pt}}, {{model: b.pt+adapter}}]\n"
    )
    outcome = wsp("merge", folder / "recipe.yml", "-o", folder / "out")
    assert outcome.status == 1
    assert not (folder / "out").exists()
    if method == "rebasin":
        outcome.failed_with("b.pt+adapter", "wsp adapter fuse first")
