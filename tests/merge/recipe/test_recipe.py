"""Recipes: mergekit's fields, ours, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from weightspace.errors import MergeError
from weightspace.merge.recipe import read_recipe, recipe_of, recipe_text, value_at

GRADIENT = """
slices:
  - sources:
      - model: one
        layer_range: [0, 4]
      - model: two
        layer_range: [0, 4]
merge_method: slerp
base_model: one
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5
dtype: float16
"""
TIES = """
models:
  - model: one
    parameters: {density: [1, 0.7, 0.1], weight: 1.0}
  - model: two
    parameters:
      density: 0.33
      weight: [{filter: mlp, value: 0.5}, {value: 0}]
merge_method: ties
base_model: zero
parameters: {normalize: true, int8_mask: true}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text", [GRADIENT, TIES, "merge_method: linear\nmodels: [{model: a}]\nalign: weights\ndata: d"]
)
def test_a_recipe_is_written_as_it_was_read(tmp_path, text: str) -> None:
    recipe = read_recipe(written(tmp_path, text))
    assert read_recipe(written(tmp_path, recipe_text(recipe))) == recipe


def test_models_are_listed_once_the_base_first(tmp_path) -> None:
    assert read_recipe(written(tmp_path, TIES)).referenced == ("zero", "one", "two")
    assert read_recipe(written(tmp_path, GRADIENT)).referenced == ("one", "two")


def test_gradients_and_filters(tmp_path) -> None:
    recipe = read_recipe(written(tmp_path, GRADIENT))
    assert recipe.parameters is not None
    t = recipe.parameters["t"]
    assert [value_at(t, "layers.0.self_attn.q", depth) for depth in (0, 0.125, 0.25, 1)] == [0, 0.25, 0.5, 1]
    assert value_at(t, "layers.0.mlp.up", 0.0) == 1
    assert value_at(t, "norm", 0.3) == 0.5
    own = recipe_of(
        {"merge_method": "x", "models": [{"model": "a", "parameters": {"w": [{"filter": "q", "value": 1}]}}]}, ""
    )
    assert own.models is not None
    assert own.models[0].parameters is not None
    assert value_at(own.models[0].parameters["w"], "k", 0.0) is None
    assert value_at([True, False], "k", 0.9) is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("merge_method: ties", ["expected one of models, slices and modules", "found none"]),
        ("merge_metod: x\nmodels: [{model: a}]", ["merge_metod", "did you mean 'merge_method'?"]),
        ("models: [{model: a}]", ["merge_method: expected it, found no such field"]),
        ("models: [{modell: a}]\nmerge_method: x", ["models[0].modell", "did you mean 'model'?"]),
        (
            "models: [{model: a, parameters: {w: [1, x]}}]\nmerge_method: x",
            ["models[0].parameters.w: expected a value"],
        ),
        ("models: [{model: a, parameters: {w: {vale: 1}}}]\nmerge_method: x", ["did you mean 'value'?"]),
        ("slices: [{sources: [{model: a, layer_range: [0]}]}]\nmerge_method: x", ["slices[0].sources[0].layer_range"]),
        (
            "models: [{model: a}]\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}]\nmerge_method: x",
            ["models and"],
        ),
        ("models: [{model: a}]\nmerge_method: x\ndtype: int7", ["dtype", "'int7'"]),
        ("models: [{model: a}]\nmerge_method: x\nalign: {metod: y}", ["align.metod", "did you mean 'method'?"]),
        ("models: []\nmerge_method: x", ["models", "at least 1"]),
        ("models: [{model: a}]\nmerge_method: x\ntokenizer_source: base\ntokenizer: {}", ["found both"]),
        ("a: [", ["expected YAML"]),
        ("- 1", ["expected a recipe", "found a list"]),
        ("", ["found nothing"]),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(MergeError) as error:
        read_recipe(path)
    told = str(error.value)
    assert "\n" not in told
    assert told.startswith(f"{path}: ")
    for word in words:
        assert word in told


def test_a_file_that_is_no_text(tmp_path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MergeError, match="cannot be read"):
        read_recipe(path)
    with pytest.raises(MergeError, match="No such file"):
        read_recipe(tmp_path / "absent.yml")
