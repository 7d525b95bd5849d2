"""Tensors of every kind that a checkpoint may hold, merged from file to file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from weightspace.checkpoint import Checkpoint, open_checkpoint
from weightspace.errors import CheckpointError, MergeError
from weightspace.merge.methods import merge_tensors
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import Prepared, merge_files, prepare

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)


def prepared(folder: Path, *states: dict[str, Tensor], method: str = "linear", **fields: Any) -> Prepared:
    """A merge of models that hold these tensors."""
    names = [f"m{number}.safetensors" for number in range(len(states))]
    for name, state in zip(names, states, strict=True):
        save_file(state, folder / name)
    content = {"merge_method": method, "models": [{"model": str(folder / name)} for name in names], **fields}
    return prepare(recipe_of(content, "test"), folder / "out.safetensors")


def merged(found: Prepared) -> Checkpoint:
    return open_checkpoint(merge_files(found).files[0])


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_8_bit_floating_point_is_merged_in_float32_and_rounded_back(tmp_path, dtype: torch.dtype) -> None:
    one, two = (torch.randn(7, 5).to(dtype) for _ in range(2))
    result = merged(prepared(tmp_path, {"w": one}, {"w": two}))["w"]
    assert result.dtype == dtype
    expected = ((one.float() + two.float()) / 2).to(dtype)
    assert torch.equal(result.view(torch.uint8), expected.view(torch.uint8))


def test_8_bit_numbers_that_are_none_are_named(tmp_path) -> None:
    bad = torch.tensor([1.0, float("nan")]).to(torch.float8_e5m2)
    with pytest.raises(MergeError, match=r"m1.safetensors: tensor 'w': expected finite numbers"):
        merge_files(prepared(tmp_path, {"w": bad.float().nan_to_num().to(bad.dtype)}, {"w": bad}))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int64, torch.complex64], ids=str)
def test_what_has_no_mean_is_copied_from_the_first_and_told(tmp_path, dtype: torch.dtype) -> None:
    one, two = ({"n": torch.tensor([number, 0, 1]).to(dtype), "w": torch.ones(2)} for number in (3, 0))
    found = prepared(tmp_path, one, two)
    assert any("copied from" in note and "'n'" in note for note in found.notes)
    result = merged(found)
    assert torch.equal(result["n"], one["n"])


def test_numbers_of_two_kinds_are_refused(tmp_path) -> None:
    with pytest.raises(MergeError, match=r"m1.safetensors: tensor 'w': expected numbers such as torch.float32"):
        prepared(tmp_path, {"w": torch.ones(3)}, {"w": torch.ones(3, dtype=torch.int8)})


def test_floating_point_of_two_widths_becomes_that_of_the_first(tmp_path) -> None:
    found = prepared(tmp_path, {"w": torch.full((3,), 1.0)}, {"w": torch.full((3,), 2.0, dtype=torch.bfloat16)})
    assert torch.equal(merged(found)["w"], torch.full((3,), 1.5))


@pytest.mark.parametrize("method", ["linear", "ties", "della", "model_stock", "slerp", "breadcrumbs"])
def test_tensors_without_axes_and_without_elements(tmp_path, method: str) -> None:
    torch.manual_seed(0)
    states = [{"scale": torch.rand(()), "none": torch.zeros(0), "rows": torch.zeros(0, 4), "w": torch.rand(3, 4)}]
    states += [{name: torch.rand_like(tensor) for name, tensor in states[0].items()} for _ in range(2)]
    base = method != "linear"
    more: dict[str, Any] = {"base_model": str(tmp_path / "m0.safetensors")} if base else {}
    options: dict[str, Any] = {"density": 0.5} if method in ("ties", "della", "breadcrumbs") else {}
    options |= {"t": 0.3} if method == "slerp" else {}
    states = states[:2] if method == "slerp" else states
    result = merged(prepared(tmp_path, *states, method=method, parameters=options, **more))
    for name, tensor in states[0].items():
        rest = [state[name] for state in states[1:]] if base else [state[name] for state in states]
        expected = merge_tensors(method, rest, tensor if base else None, options=options, name=name)
        assert torch.equal(result[name], expected), name


def test_tensors_that_the_first_model_lacks_are_left_out_and_told(tmp_path) -> None:
    found = prepared(tmp_path, {"w": torch.ones(2)}, {"w": torch.ones(2), "more": torch.ones(2)})
    assert list(merged(found)) == ["w"]
    assert any("left out are 'more'" in note for note in found.notes)


def test_tensors_that_the_first_model_has_alone_are_refused(tmp_path) -> None:
    with pytest.raises(MergeError, match=r"expected a tensor 'more', which the others have, found none"):
        prepared(tmp_path, {"w": torch.ones(2), "more": torch.ones(2)}, {"w": torch.ones(2)})


def test_names_may_hold_anything(tmp_path, monkeypatch) -> None:
    """Also ends of lines: in the journal "a" must not be taken for done because "a\\nb" is."""
    from weightspace.checkpoint.unfinished import Unfinished

    names = ("a\nb", "a", "b", "c\u2028d", "ß 漢 \U0001f600", '"', "\\", "x.weight/../y", "e\r\nf", "f")
    one, two = ({name: torch.rand(3) for name in names} for _ in range(2))
    found = prepared(tmp_path, one, two)

    def broken(self: Unfinished, texts: Any, companions: Any = ()) -> None:
        self.save()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "complete", broken)
        with pytest.raises(KeyboardInterrupt):
            merge_files(found)
    assert merge_files(found).resumed == len(names)
    result = open_checkpoint(tmp_path / "out.safetensors")
    assert all(torch.equal(result[name], (one[name] + two[name]) / 2) for name in names)


@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_files(tmp_path, legacy: bool) -> None:
    states = [{"w": torch.rand(4, 3), "b": torch.rand(4)} for _ in range(2)]
    models = []
    for number, state in enumerate(states):
        models.append({"model": str(tmp_path / f"{number}.pt")})
        torch.save(state, tmp_path / f"{number}.pt", _use_new_zipfile_serialization=not legacy)
    recipe = recipe_of({"merge_method": "linear", "models": models}, "test")
    result = merged(prepare(recipe, tmp_path / "out.safetensors"))
    assert all(torch.equal(result[name], (states[0][name] + states[1][name]) / 2) for name in result)


def test_shards_of_pytorch_files(tmp_path) -> None:
    import json

    states = [{"w": torch.rand(4, 3), "b": torch.rand(4)} for _ in range(2)]
    for number, state in enumerate(states):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        for at, name in enumerate(state):
            torch.save({name: state[name]}, folder / f"pytorch_model-{at + 1:05d}-of-00002.bin")
        places = {name: f"pytorch_model-{at + 1:05d}-of-00002.bin" for at, name in enumerate(state)}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    models = [{"model": str(tmp_path / f"m{number}")} for number in range(2)]
    recipe = recipe_of({"merge_method": "linear", "models": models}, "test")
    result = merged(prepare(recipe, tmp_path / "out.safetensors"))
    assert all(torch.equal(result[name], (states[0][name] + states[1][name]) / 2) for name in states[0])


def test_a_pickle_that_needs_code_is_refused(tmp_path) -> None:
    torch.save({"w": torch.ones(2), "more": Path}, tmp_path / "m.pt")
    recipe = recipe_of({"merge_method": "linear", "models": [{"model": str(tmp_path / "m.pt")}]}, "test")
    with pytest.raises(CheckpointError, match="needs code"):
        prepare(recipe, tmp_path / "out.safetensors")


def test_many_small_tensors_are_saved_now_and_then(tmp_path, monkeypatch) -> None:
    """Not after each of them: the disk takes longer than they do."""
    from weightspace.checkpoint.unfinished import Unfinished

    saves, save = [], Unfinished.save
    monkeypatch.setattr(sys.modules["weightspace.merge.streaming.execute"], "_SAVED_EVERY", 1e6)
    monkeypatch.setattr(Unfinished, "save", lambda self: (saves.append(len(self._written)), save(self))[1])
    state = {f"layers.{number}.weight": torch.ones(2) for number in range(500)}
    assert len(merged(prepared(tmp_path, state, state))) == 500
    assert [count for count in saves if count] == [500]
