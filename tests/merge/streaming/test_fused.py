"""Models with an adapter in them, named in recipes as mergekit does: PATH+ADAPTER."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.merge.streaming.llama import HIDDEN, save_llama
from weightspace.checkpoint import open_adapter, open_checkpoint
from weightspace.errors import CheckpointError, OutputError
from weightspace.merge.adapters import fuse
from weightspace.merge.methods import merge_tensors
from weightspace.merge.recipe import Place, place_of, recipe_of
from weightspace.merge.streaming import merge_files, prepare

MODULE = "model.layers.1.self_attn.q_proj"


def save_adapter(folder: Path, seed: int, module: str = MODULE) -> Path:
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    factors = {
        "A": torch.randn(2, HIDDEN, generator=generator),
        "B": torch.randn(HIDDEN, 2, generator=generator),
    }
    tensors = {f"base_model.model.{module}.lora_{name}.weight": tensor for name, tensor in factors.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in range(2):
        save_llama(tmp_path / f"m{seed}", seed, kinds=False)
    save_adapter(tmp_path / "one", 1)
    save_adapter(tmp_path / "two", 2)
    return tmp_path


def recipe(folder: Path, *models: str, **fields: Any) -> Any:
    listed = [{"model": "+".join(str(folder / part) for part in model.split("+"))} for model in models]
    return recipe_of({"merge_method": "linear", "models": listed, **fields}, "test")


def test_adapters_are_fused_before_models_are_merged(folder) -> None:
    found = recipe(folder, "m0+one", "m0+two", "m1")
    merge_files(prepare(found, folder / "out"))
    base = open_checkpoint(folder / "m0")
    states = [fuse(base, [open_adapter(folder / name)]).tensors for name in ("one", "two")]
    merged = open_checkpoint(folder / "out")
    for name, tensor in open_checkpoint(folder / "m1").items():
        assert torch.equal(merged[name], merge_tensors("linear", [states[0][name], states[1][name], tensor]))
    assert not torch.equal(states[0][f"{MODULE}.weight"], base[f"{MODULE}.weight"])
    again = recipe(folder, "m0+one", "m0+two", "m1")
    merge_files(prepare(again, folder / "again"))
    assert (folder / "out/model.safetensors").read_bytes() == (folder / "again/model.safetensors").read_bytes()


def test_a_base_may_have_one_and_task_vectors_are_those_of_adapters(folder) -> None:
    base = str(folder / "m0")
    found = recipe(folder, "m0+one", merge_method="task_arithmetic", base_model=base)
    merge_files(prepare(found, folder / "out.safetensors"))
    fused = fuse(open_checkpoint(base), [open_adapter(folder / "one")]).tensors
    merged = open_checkpoint(folder / "out.safetensors")
    for name in merged:
        torch.testing.assert_close(merged[name], fused[name])


def test_its_files_are_part_of_the_provenance_and_of_what_a_run_goes_on_with(folder) -> None:
    found = prepare(recipe(folder, "m0+one", "m1"), folder / "out")
    inputs = merge_files(found).inputs
    assert inputs[str(folder / "one")] == open_adapter(folder / "one").tensors.sha256()
    assert str(folder / "one" / "adapter_config.json") in inputs
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        before = prepare(recipe(folder, "m0+one", "m1"), folder / "out").key
        os.utime(folder / "one" / file, (len(file), 1))
        assert prepare(recipe(folder, "m0+one", "m1"), folder / "out").key != before


def test_a_path_may_have_a_plus_in_its_name(folder) -> None:
    (folder / "m0").rename(folder / "a+b")
    assert place_of(str(folder / "a+b"), None) == Place(folder / "a+b")
    assert place_of("a+b+one", folder) == Place(folder / "a+b", folder / "one")
    assert place_of("absent+one", folder) == Place(Path("absent"), folder / "one")


def test_mistakes(folder) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        prepare(recipe(folder, "m0+absent", "m1"), folder / "out")
    save_adapter(folder / "other", 3, module="model.layers.9.self_attn.q_proj")
    with pytest.raises(CheckpointError, match=r"layers\.9"):
        prepare(recipe(folder, "m0+other", "m1"), folder / "out")
    with pytest.raises(OutputError, match="apart from the inputs"):
        prepare(recipe(folder, "m0+one", "m1"), folder / "one")
