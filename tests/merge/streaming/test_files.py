"""Merged files: what they hold, what lies beside them, and that a kill costs nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.merge.streaming.llama import save_llama
from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointError, MergeError, OutputError
from weightspace.merge.methods import merge_tensors
from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.recipe import read_recipe, recipe_of
from weightspace.merge.streaming import execute, merge_files, prepare
from weightspace.merge.streaming.plan import plan_merge


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in range(3):
        save_llama(tmp_path / f"m{seed}", seed)
    return tmp_path


def recipe(folder: Path, **fields: Any) -> Any:
    models = [{"model": str(folder / "m1"), "parameters": {"weight": 0.7}}, {"model": str(folder / "m2")}]
    content = {"merge_method": "linear", "models": models, **fields}
    return recipe_of({key: value for key, value in content.items() if value is not None}, "test")


def test_the_merged_model_is_what_the_method_says(folder) -> None:
    output = folder / "out"
    merge_files(prepare(recipe(folder), output))
    one, two, merged = (open_checkpoint(folder / name) for name in ("m1", "m2", "out"))
    assert list(merged) == list(one)
    for name in merged:
        expected = merge_tensors("linear", [one[name], two[name]], options={"weight": [0.7, 1.0]})
        assert torch.equal(merged[name], expected)
    assert {path.name for path in output.iterdir()} == {
        "model.safetensors", "config.json", "README.md", "recipe.yml", "wsp.json",
    }  # fmt: skip
    provenance = json.loads((output / "wsp.json").read_text())
    assert provenance["inputs"] == {
        str(folder / name): open_checkpoint(folder / name).sha256() for name in ("m1", "m2")
    }
    assert provenance["recipe"]["merge_method"] == "linear"


def test_the_recipe_beside_it_gives_the_same_bytes(folder) -> None:
    merge_files(prepare(recipe(folder, dtype="bfloat16"), folder / "out"))
    merge_files(prepare(read_recipe(folder / "out" / "recipe.yml"), folder / "again"))
    for name in ("model.safetensors", "config.json", "recipe.yml", "wsp.json"):
        assert (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()
    assert json.loads((folder / "out" / "config.json").read_text())["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize("most", [2000, 5000, 10**9])
def test_shards_and_a_single_file_hold_the_same(folder, most: int) -> None:
    merge_files(prepare(recipe(folder), folder / "out", max_shard_bytes=most))
    merge_files(prepare(recipe(folder), folder / "one.safetensors"))
    sharded, single = open_checkpoint(folder / "out"), open_checkpoint(folder / "one.safetensors")
    assert set(sharded) == set(single)
    assert all(torch.equal(sharded[name], single[name]) for name in single)
    assert (folder / "one.wsp.json").exists()
    count = len([*(folder / "out").glob("*.safetensors")])
    assert (count > 1) == (most < 10**9)
    assert (folder / "out" / "model.safetensors.index.json").exists() == (count > 1)


def test_other_layers_change_the_configuration(folder) -> None:
    slices = [
        {"sources": [{"model": str(folder / "m1"), "layer_range": [0, 3]}]},
        {"sources": [{"model": str(folder / "m2"), "layer_range": [1, 4]}]},
    ]
    merge_files(prepare(recipe(folder, models=None, slices=slices), folder / "out"))
    config = json.loads((folder / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 6
    assert config["layer_types"] == [f"kind {at}" for at in (0, 1, 2, 1, 2, 3)]
    merged, two = open_checkpoint(folder / "out"), open_checkpoint(folder / "m2")
    assert torch.equal(merged["model.layers.3.mlp.up_proj.weight"], two["model.layers.1.mlp.up_proj.weight"])


def test_a_merged_folder_loads_in_transformers(folder) -> None:
    transformers = pytest.importorskip("transformers")
    models = [{"model": str(save_llama(folder / name, seed, kinds=False))} for seed, name in enumerate("ab")]
    merge_files(prepare(recipe(folder, models=models, dtype="bfloat16"), folder / "out"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "out")
    assert model.dtype == torch.bfloat16
    assert model(torch.arange(6)[None]).logits.isfinite().all()


# ---------------------------------------------------------------------- kills

KILLED = """
import sys, time
from pathlib import Path
from weightspace.merge.recipe import read_recipe
from weightspace.merge.streaming import merge_files, prepare
from weightspace.checkpoint.unfinished import Unfinished

write = Unfinished.write
def slowly(self, *arguments):
    time.sleep(0.004)
    write(self, *arguments)
Unfinished.write = slowly
print("ready", flush=True)
found = merge_files(prepare(read_recipe(Path(sys.argv[1])), sys.argv[2], max_shard_bytes=6000))
print(found.resumed)
"""


def test_a_merge_that_is_killed_goes_on_to_the_same_bytes(folder) -> None:
    merge_files(prepare(recipe(folder), folder / "whole", max_shard_bytes=6000))
    path = folder / "whole" / "recipe.yml"
    command = [sys.executable, "-c", KILLED, str(path), str(folder / "out")]
    resumed = 0
    for pause in (0.03, 0.06, 0.09):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (folder / "out").exists()
    last = subprocess.run(command, capture_output=True, text=True, check=True)
    resumed = int(last.stdout.split()[-1])
    assert 0 <= resumed < 39
    for file in (folder / "whole").iterdir():
        if file.name not in ("README.md", "wsp.json"):
            assert file.read_bytes() == (folder / "out" / file.name).read_bytes()
    assert not [entry for entry in folder.iterdir() if entry.name.startswith(".")]


class Stopping:
    """An output that breaks off."""

    done: frozenset[str] = frozenset()

    def __init__(self, after: int) -> None:
        self.left, self.whole = after, []

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        self.left -= 1
        if self.left < 0:
            raise OutputError("full")

    def finished(self, name: str) -> None:
        self.whole.append(name)

    def save(self) -> None:
        pass


def test_an_error_in_a_thread_ends_the_merge(folder) -> None:
    found = prepare(recipe(folder), folder / "out")
    stopping = Stopping(5)
    with pytest.raises(OutputError, match="full"):
        execute(found.plan, found.models, stopping)
    assert len(stopping.whole) <= 5


def test_what_is_left_after_an_error_is_gone_on_with(folder, monkeypatch) -> None:
    from weightspace.checkpoint.unfinished import Unfinished

    found = prepare(recipe(folder), folder / "out")
    write, count = Unfinished.write, 0

    def failing(self: Unfinished, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count > 20:
            raise OutputError("full")
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "write", failing)
        with pytest.raises(OutputError, match="full"):
            merge_files(found)
    assert not (folder / "out").exists()
    assert 0 < merge_files(prepare(recipe(folder), folder / "out")).resumed <= 20


def test_another_recipe_does_not_go_on_with_it(folder) -> None:
    one, two = (prepare(recipe(folder, seed=seed), folder / "out") for seed in (0, 1))
    assert one.key != two.key
    os.utime(folder / "m1" / "model.safetensors", (1, 1))
    assert prepare(recipe(folder), folder / "out").key != one.key


# ---------------------------------------------------------------------- bad input


def test_inputs_are_never_touched(folder) -> None:
    for output in (folder / "m1", folder / "m1" / "out", folder / "m1" / "model.safetensors"):
        with pytest.raises(OutputError):
            prepare(recipe(folder), output)


def test_numbers_that_are_not_finite_are_named(folder) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "m2" / "model.safetensors"
    state = load_file(file)
    state["model.norm.weight"][3] = float("nan")
    save_file(state, file)
    with pytest.raises(MergeError, match=r"m2: tensor 'model.norm.weight': expected finite numbers"):
        merge_files(prepare(recipe(folder), folder / "out"))
    assert not (folder / "out").exists()


def test_a_result_that_its_type_cannot_hold_is_named(folder) -> None:
    with pytest.raises(MergeError, match=r"expected finite results in torch.float16"):
        merge_files(
            prepare(recipe(folder, dtype="float16", parameters={"normalize": False, "weight": 1e9}), folder / "o")
        )


def test_absent_models(folder) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        prepare(recipe(folder, models=[{"model": str(folder / "absent")}]), folder / "out")


def test_paths_may_be_relative_to_the_recipe(folder) -> None:
    relative = recipe_of({"merge_method": "linear", "models": [{"model": "m1"}, {"model": "m2"}]}, "")
    assert list(prepare(relative, folder / "out", folder=folder).models) == ["m1", "m2"]


def test_a_method_with_measures_is_given_all_chunks(folder, monkeypatch) -> None:
    """The streamed merge and that of whole tensors run a method alike."""
    from weightspace.merge.methods import Measure
    from weightspace.merge.methods import registry as methods

    def summed(chunk: Chunk, settings: Any, measured: Any) -> float:
        return float(sum(tensor.double().sum() for tensor in chunk.tensors))

    shifted = MergeMethod(
        "shifted", "Shifted", "", "", lambda chunk, settings, measured: chunk.tensors[0] + measured[0],
        measures=(Measure(summed, lambda parts, settings, measured: sum(parts)),),
    )  # fmt: skip
    monkeypatch.setitem(methods.MERGE_METHODS, "shifted", shifted)
    monkeypatch.setattr("weightspace.merge.methods.run.CHUNK", 7)
    own = recipe(folder, merge_method="shifted", models=[{"model": str(folder / name)} for name in ("m1", "m2")])
    merge_files(prepare(own, folder / "out"))
    one, two, merged = (open_checkpoint(folder / name) for name in ("m1", "m2", "out"))
    for name in one:
        torch.testing.assert_close(
            merged[name], one[name] + (one[name].double().sum() + two[name].double().sum()).float()
        )
        whole = merge_tensors("shifted", [one[name], two[name]], chunk=7)
        torch.testing.assert_close(merged[name], whole)


def test_plans_and_prepared_merges_agree(folder) -> None:
    found = prepare(recipe(folder), folder / "out")
    assert plan_merge(found.recipe, found.models) == found.plan
    assert found.layout.nbytes > 0
    assert found.memory < 2**30
