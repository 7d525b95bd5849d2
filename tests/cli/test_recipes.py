"""`wsp merge` and `wsp check` with recipes and methods on weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.merge.streaming.llama import save_llama
from weightspace.checkpoint import open_checkpoint


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in range(3):
        save_llama(tmp_path / f"m{seed}", seed)
    (tmp_path / "recipe.yml").write_text(
        "merge_method: linear\nmodels:\n- {model: m1, parameters: {weight: 3}}\n- model: m2\ndtype: float16\n"
    )
    return tmp_path


def test_a_recipe_and_its_flags_merge_alike(wsp, folder) -> None:
    outcome = wsp("merge", folder / "recipe.yml", "-o", folder / "one", "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["tensors"] == 39
    assert outcome.document["resumed"] == 0
    outcome = wsp(
        "merge", folder / "m1", folder / "m2", "--method", "linear", "--set", "weight=3,1", "--dtype", "float16",
        "-o", folder / "two",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "merged by Linear" in outcome.stdout
    one, two = open_checkpoint(folder / "one"), open_checkpoint(folder / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_three_models_without_a_base(wsp, folder) -> None:
    models = [folder / f"m{seed}" for seed in range(3)]
    assert wsp("merge", *models, "--method", "linear", "-o", folder / "out.safetensors", "-q").status == 0
    merged = open_checkpoint(folder / "out.safetensors")
    tensors = [open_checkpoint(model)["model.norm.weight"] for model in models]
    torch.testing.assert_close(merged["model.norm.weight"], torch.stack(tensors).mean(0))


@pytest.mark.parametrize("command", [("check",), ("merge", "--dry-run")])
def test_checking_writes_nothing(wsp, folder, command: tuple[str, ...]) -> None:
    before = sorted(folder.iterdir())
    outcome = wsp(*command, folder / "recipe.yml", "-o", folder / "out")
    assert outcome.status == 0, outcome.stderr
    assert "39 tensors, 0 of them copied" in outcome.stdout
    outcome = wsp(*command, folder / "recipe.yml", "-o", folder / "out", "--json")
    assert outcome.document["bytes"] == sum(outcome.document["files"].values())
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("m1", "m2", "--method", "lnear"), ["method 'lnear'", "did you mean 'linear'?"]),
        (("m1", "m2", "--method", "linear", "--set", "wieght=1"), ["'wieght'", "did you mean 'weight'?"]),
        (("m1", "m2", "--method", "linear", "--set", "weight=1,2,3"), ["one value for each of 2 models"]),
        (("m1", "m2", "--method", "linear", "--set", "weight=1,-1"), ["whose sum is not 0"]),
        (("m1", "m2", "--method", "linear", "--dtype", "int3"), ["dtype", "int3"]),
        (("m1", "m2", "--method", "linear", "--base", "m0"), []),
        (("m1", "absent", "--method", "linear"), ["absent"]),
        (("recipe.yml", "m1"), ["expected a recipe or models, found both"]),
        (("m1", "m2", "m0", "--method", "rebasin"), ["expected two models, found 3"]),
    ],
)
def test_mistakes_are_one_line(wsp, folder, arguments: tuple[str, ...], words: list[str]) -> None:
    places = [folder / each if each in ("m0", "m1", "m2", "absent", "recipe.yml") else each for each in arguments]
    outcome = wsp("merge", *places, "-o", folder / "out")
    if words:
        outcome.failed_with(*words)
        assert not (folder / "out").exists()
    else:
        assert outcome.status == 0, outcome.stderr


@pytest.mark.parametrize("by", ["flags", "recipe"])
def test_models_are_aligned_before_they_are_merged(wsp, folder, by: str) -> None:
    """Three permuted copies of one network merge to it."""
    torch.manual_seed(0)
    state = {
        "0.weight": torch.randn(8, 5),
        "0.bias": torch.randn(8),
        "2.weight": torch.randn(3, 8),
        "2.bias": torch.randn(3),
    }
    for number in range(3):
        order = torch.randperm(8)
        moved = {"0.weight": state["0.weight"][order], "0.bias": state["0.bias"][order]}
        moved |= {"2.weight": state["2.weight"][:, order], "2.bias": state["2.bias"]}
        torch.save(moved if number else state, folder / f"{number}.pt")
    models = [folder / f"{number}.pt" for number in range(3)]
    recipe = "merge_method: linear\nalign: {method: weights, restarts: 3}\nmodels:\n"
    (folder / "aligned.yml").write_text(recipe + "".join(f"- model: {path.name}\n" for path in models))
    given = (*models, "--method", "linear", "--align", "weights") if by == "flags" else (folder / "aligned.yml",)
    outcome = wsp("merge", *given, "-o", folder / "out.safetensors")
    assert outcome.status == 0, outcome.stderr
    for name, tensor in open_checkpoint(folder / "out.safetensors").items():
        torch.testing.assert_close(tensor, state[name])


def test_methods_are_listed(wsp) -> None:
    outcome = wsp("methods", "--json")
    assert "linear" in [method["name"] for method in outcome.document["methods"]]
    assert "weight" in wsp("methods", "linear").stdout
    wsp("methods", "lnear").failed_with("did you mean 'linear'?")
