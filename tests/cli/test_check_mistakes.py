"""Seeded mistakes: `wsp check` finds each in one line, and reads no tensor.

The models are vast, 80 GB each on paper: their files are headers before a hole, and whoever reads from it fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from weightspace.checkpoint.pickle_file import PickleReader
from weightspace.checkpoint.safetensors_file import SafetensorsReader

VOCABULARY, WIDTH, LAYERS = 1 << 16, 1 << 14, 32


@pytest.fixture(autouse=True)
def unreadable(monkeypatch) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("a tensor was read")

    for reader in (SafetensorsReader, PickleReader):
        for name in ("read", "piece"):
            monkeypatch.setattr(reader, name, read)


def shapes(layers: int = LAYERS, vocabulary: int = VOCABULARY, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    for layer in range(layers):
        found |= {f"model.layers.{layer}.{name}.weight": (width, width) for name in ("q_proj", "o_proj", "up_proj")}
        found[f"model.layers.{layer}.norm.weight"] = (width,)
    return {**found, "model.norm.weight": (width,), "lm_head.weight": (vocabulary, width)}


def save(folder: Path, tensors: dict[str, tuple[int, ...]], dtype: str = "BF16", file: str = "model") -> Path:
    """A model folder whose weights are a header and a hole."""
    folder.mkdir(exist_ok=True)
    entries, end = {}, 0
    for name, shape in tensors.items():
        size = {"BF16": 2, "I8": 1}[dtype] * torch.Size(shape).numel()
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    with (folder / f"{file}.safetensors").open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + end)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": LAYERS}))
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("m0", "m1", "m2"):
        save(tmp_path / name, shapes())
    return tmp_path


def linear(*models: str, more: str = "") -> str:
    return "merge_method: linear\nmodels:\n" + "".join(f"- model: {model}\n" for model in models) + more


def sliced(one: str, two: str | None = None) -> str:
    second = "" if two is None else f"  - {{model: m2, layer_range: {two}}}\n"
    return f"merge_method: linear\nslices:\n- sources:\n  - {{model: m1, layer_range: {one}}}\n{second}"


BASED = "base_model: m0\n"

# What the recipe is, and what the line says.
RECIPES: dict[str, tuple[str, list[str]]] = {
    "method": ("merge_method: tise\nmodels: [{model: m1}]\n", ["method 'tise'", "did you mean 'ties'?"]),
    "method before models": ("merge_method: tise\nmodels: [{model: absent}]\n", ["did you mean 'ties'?"]),
    "option": (linear("m1", "m2", more="parameters: {wieght: 1}\n"), ["'wieght'", "did you mean 'weight'?"]),
    "option before models": (linear("absent", more="parameters: {wieght: 1}\n"), ["did you mean 'weight'?"]),
    "option of a model": (
        "merge_method: linear\nmodels: [{model: m1, parameters: {weihgt: 1}}]\n", ["did you mean 'weight'?"],
    ),
    "value before models": (linear("absent", more="parameters: {weight: heavy}\n"), ["'weight'", "'heavy'"]),
    "value of some layers": (
        f"merge_method: ties\n{BASED}models: [{{model: m1, parameters: {{density: [0.5, 1.5]}}}}]\n",
        ["'density'", "of at most 1", "1.5"],
    ),
    "value with a filter": (
        f"merge_method: ties\n{BASED}models: [{{model: m1}}]\nparameters: {{density: [{{filter: mlp, value: -1}}]}}\n",
        ["'density'", "found -1"],
    ),
    "no values": (linear("m1", more="parameters: {weight: []}\n"), ["parameters"]),
    "values that do not go together": (
        f"merge_method: della\n{BASED}models: [{{model: m1}}]\nparameters: {{density: 0.1, epsilon: 0.2}}\n",
        ["'epsilon'", "density 0.1"],
    ),
    "no method": ("models: [{model: m1}]\n", ["merge_method", "no such field; add it"]),
    "no models": ("merge_method: linear\n", ["expected one of models, slices and modules, found none"]),
    "an empty list": ("merge_method: linear\nmodels: []\n", ["models"]),
    "two lists": (sliced("[0, 2]") + "models: [{model: m1}]\n", ["found models and slices"]),
    "a field": (linear("m1", more="base_modle: m0\n"), ["'base_modle'", "did you mean 'base_model'?"]),
    "a field inside": (
        "merge_method: linear\nslices: [{sources: [{model: m1, layer_rnge: [0, 1]}]}]\n",
        ["did you mean 'layer_range'?"],
    ),
    "no path of a model": ("merge_method: linear\nmodels: [{parameters: {weight: 1}}]\n", ["models[0]", "model"]),
    "a type": (linear("m1", more="dtype: float23\n"), ["dtype", "float23"]),
    "a seed": (linear("m1", more="seed: -1\n"), ["seed", "-1"]),
    "tokenizers": (linear("m1", more="tokenizer_source: base\ntokenizer: {source: base}\n"), ["found both"]),
    "no YAML": ("merge_method: [linear\n", ["expected YAML"]),
    "nothing": ("", ["expected a recipe", "found nothing"]),
    "a list": ("- linear\n", ["expected a recipe", "found a list"]),
    "an absent model": (linear("m1", "m22"), ["m22", "did you mean m2?"]),
    "an absent base": (linear("m1", more="base_model: zero\n"), ["zero", "no such file"]),
    "one model twice": (linear("m1", "m1"), ["m1: expected every model once"]),
    "too many models": (
        f"merge_method: slerp\n{BASED}models: [{{model: m1}}, {{model: m2}}]\nparameters: {{t: 0.5}}\n",
        ["method 'slerp'", "expected 1 models beside the base, found 2"],
    ),
    "too few models": (f"merge_method: model_stock\n{BASED}models: [{{model: m1}}]\n", ["expected at least 2 models"]),
    "no base": ("merge_method: ties\nmodels: [{model: m1}, {model: m2}]\n", ["expected a base model, found none"]),
    "weights that sum to 0": (
        "merge_method: linear\nmodels: [{model: m1, parameters: {weight: 1}}, {model: m2, parameters: {weight: -1}}]\n",
        ["sum is not 0"],
    ),
    "a layer beyond the last": (sliced("[30, 33]"), ["layer_range of m1", "from 0 to 32", "[30, 33]"]),
    "layers backwards": (sliced("[5, 2]"), ["layer_range of m1", "[5, 2]"]),
    "other numbers of layers": (sliced("[0, 4]", "[0, 5]"), ["as many layers", "[0, 4], [0, 5]"]),
    "a stack": ("merge_method: linear\nmodules: {encoder: {models: [{model: m1}, {model: vast}]}}\n", ["vast"]),
    "an empty module": ("merge_method: linear\nmodules: {model: {parameters: {}}}\n", ["models or slices"]),
    "vocabularies": (linear("m1", "words"), ["words", "tokenizer_source"]),
    "an architecture": (linear("m1", "other"), ["other", "expected a tensor", "merge models of one architecture"]),
    "widths": (linear("m1", "wide"), ["wide", "expected shape", "merge models of one architecture"]),
    "fewer layers": (linear("m1", "short"), ["short", "model.layers.31"]),
    "codes in place of weights": (linear("m1", "int8"), ["int8", "found torch.int8; convert it first"]),
    "GPTQ": (linear("m1", "gptq"), ["gptq", "GPTQ or AWQ codes", "dequantise"]),
    "bitsandbytes": (linear("m1", "nf4"), ["nf4", "bitsandbytes 4-bit codes"]),
    "block-wise FP8": (linear("m1", "fp8"), ["fp8", "block-wise FP8 codes"]),
    "GGUF": (linear("m1", "m.gguf"), ["m.gguf", "a GGUF file", "open the original"]),
    "ONNX": (linear("m1", "m.onnx"), ["m.onnx", "an ONNX graph"]),
    "a pointer": (linear("m1", "lfs.safetensors"), ["Git LFS pointer", "git lfs pull"]),
    "a pickle with code": (linear("m1", "code.pt"), ["code.pt", "needs code"]),
    "a truncated file": (linear("m1", "cut"), ["cut", "truncated or damaged"]),
    "a missing shard": (linear("m1", "shards"), ["shards", "expected the shard", "download the missing shard"]),
    "an empty folder": (linear("m1", "hollow"), ["hollow", "found it empty"]),
    "several checkpoints": (linear("m1", "both"), ["both", "expected one checkpoint", "name the file"]),
    "an alignment": (linear("absent", more="align: wieghts\n"), ["align", "did you mean 'weights'?"]),
    "a kind of alignment": (linear("absent", more="align: {kinds: [rotatoin]}\n"), ["align", "did you mean"]),
    "an alignment without data": (linear("absent", more="align: activations\n"), ["align", "add data: PATH"]),
    "absent data": (linear("m1", more="align: activations\ndata: nowhere\n"), ["nowhere", "no such"]),
}  # fmt: skip

# What is given beside models or the recipe, and what the line says.
FLAGS: dict[str, tuple[list[str], list[str]]] = {
    "method": (["m1", "m2", "--method", "slrep"], ["did you mean 'slerp'?"]),
    "method before models": (["absent", "absent2", "--method", "slrep"], ["did you mean 'slerp'?"]),
    "option": (["absent", "absent2", "--set", "wieght=1"], ["did you mean 'weight'?"]),
    "one value too many": (["m1", "m2", "--set", "weight=1,2,3"], ["one value for each of 2 models"]),
    "weights that sum to 0": (["m1", "m2", "--set", "weight=1,-1"], ["sum is not 0"]),
    "a type": (["m1", "m2", "--dtype", "int3"], ["dtype", "int3"]),
    "an absent model": (["m1", "m22"], ["did you mean m2?"]),
    "an absent recipe": (["recpie.yml"], ["recpie.yml", "No such file"]),
    "a recipe and models": (["good.yml", "m1"], ["found both"]),
    "no base": (["m1", "m2", "--method", "ties"], ["expected a base model"]),
    "into an input": (["good.yml", "-o", "m1"], ["m1", "expected an output apart from the inputs"]),
    "into an input's folder": (["good.yml", "-o", "m1/merged"], ["expected an output outside the input"]),
    "around the inputs": (["good.yml", "-o", "."], ["expected an output apart from the inputs"]),
    "over an input's file": (["good.yml", "-o", "m1/model.safetensors"], ["found the input m1"]),
    "over other files": (["good.yml", "-o", "hollow2"], ["hollow2", "expected a new or empty folder"]),
    "into no folder": (["good.yml", "-o", "absent/merged"], ["absent", "create it first"]),
    "as another format": (["good.yml", "-o", "merged.pt"], ["name merged.safetensors"]),
}

USAGE: list[list[str]] = [
    [], ["m1", "m2", "--set", "weight"], ["m1", "m2", "--set", "weight=x"], ["m1", "--mehtod", "linear"],
]  # fmt: skip


def _others(folder: Path) -> None:
    """What the mistakes are about, beside the models."""
    save(folder / "words", shapes(vocabulary=VOCABULARY + 64))
    save(folder / "wide", shapes(width=2 * WIDTH))
    save(folder / "short", shapes(layers=LAYERS - 1))
    save(folder / "other", {name.replace("model.", "transformer."): shape for name, shape in shapes().items()})
    save(folder / "int8", shapes(), "I8")
    for name, ending in (("gptq", ".qweight"), ("nf4", ".absmax"), ("fp8", ".weight_scale_inv")):
        save(folder / name, {f"{each.removesuffix('.weight')}{ending}": shape for each, shape in shapes().items()})
    save(save(folder / "both", shapes(), file="one"), shapes(), file="two")
    with (save(folder / "cut", shapes()) / "model.safetensors").open("r+b") as file:
        file.truncate(10**9)
    for name in ("shards", "hollow", "hollow2"):
        (folder / name).mkdir()
    (folder / "hollow2" / "notes.txt").touch()
    index = {"weight_map": {"w": "model-00001-of-00002.safetensors"}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    (folder / "m.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(100))
    (folder / "lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    torch.save({"w": Path}, folder / "code.pt")
    (folder / "good.yml").write_text(linear("m1", "m2"))


@pytest.mark.parametrize("command", [("check",), ("merge", "--dry-run", "-o", "out")], ids=["check", "dry run"])
@pytest.mark.parametrize("mistake", RECIPES)
def test_a_recipe_with_a_mistake(wsp: Callable[..., Any], folder: Path, mistake: str, command: tuple[str, ...]) -> None:
    _others(folder)
    text, words = RECIPES[mistake]
    (folder / "recipe.yml").write_text(text)
    before = sorted(folder.rglob("*"))
    wsp(*command, "recipe.yml").failed_with(*words)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("mistake", FLAGS)
def test_flags_with_a_mistake(wsp: Callable[..., Any], folder: Path, mistake: str) -> None:
    _others(folder)
    arguments, words = FLAGS[mistake]
    wsp("check", *arguments).failed_with(*words)


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage(wsp: Callable[..., Any], folder: Path, arguments: list[str]) -> None:
    assert wsp("check", *arguments).status == 2


@pytest.mark.parametrize("text", [linear("m1", "m2"), sliced("[0, 20]", "[4, 24]")], ids=["models", "slices"])
def test_what_is_right_passes_without_reading(wsp: Callable[..., Any], folder: Path, text: str) -> None:
    (folder / "recipe.yml").write_text(text)
    outcome = wsp("check", "recipe.yml", "-o", "out", "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["bytes"] > 2e10
    assert outcome.document["memory"] < 2**30
    assert not (folder / "out").exists()
