"""`wsp untie` on folders that transformers wrote, loaded again by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightspace.checkpoint import open_checkpoint

transformers = pytest.importorskip("transformers")

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
IDS = torch.arange(3, 13)[None]


def gpt2(*, tied: bool = True) -> Any:
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, n_positions=16, vocab_size=50, tie_word_embeddings=tied, **SPECIAL
    )
    return transformers.GPT2LMHeadModel(config)


def llama() -> Any:
    config = transformers.LlamaConfig(
        num_hidden_layers=1, hidden_size=16, intermediate_size=24, num_attention_heads=2, vocab_size=50,
        tie_word_embeddings=True, **SPECIAL,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A GPT-2 with a tied head."""
    torch.manual_seed(0)
    gpt2().save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def logits(folder: Path) -> torch.Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("build", [gpt2, llama])
def test_transformers_loads_the_same_function(start, tmp_path: Path, build: Any) -> None:
    torch.manual_seed(0)
    build().save_pretrained(tmp_path / "in")
    (tmp_path / "in" / "vocab.json").write_text('{"a": 0}')
    before = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    process = start("untie", tmp_path / "in", "-o", tmp_path / "out", "--json")
    document = json.loads(process.communicate()[0])
    assert process.returncode == 0
    (head,) = document["copies"]
    assert head == "lm_head.weight"
    assert document["preservation_error"] == 0
    assert torch.equal(logits(tmp_path / "out"), logits(tmp_path / "in"))
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(written[head], written[document["copies"][head]])
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings == json.loads(before["config.json"]) | {"tie_word_embeddings": False}
    for name in ("generation_config.json", "vocab.json"):
        assert (tmp_path / "out" / name).read_bytes() == before[name]
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}


def test_real_gpt2(wsp, shared_data: Path, tmp_path: Path) -> None:
    given = shared_data / "shakespeare" / "gpt2_0"
    if not given.is_dir():
        pytest.skip(f"{given} is absent")
    outcome = wsp("untie", given, "-o", tmp_path / "out")
    assert outcome.status == 0, outcome.stderr
    assert "lm_head.weight: a copy of transformer.wte.weight" in outcome.stdout
    assert torch.equal(logits(tmp_path / "out"), logits(given))
    spec = wsp("spec", tmp_path / "out", "--json").document
    (stream,) = [group for group in spec["groups"] if "rotation" in group["kinds"]]
    assert {"lm_head.weight", "transformer.wte.weight"} <= {axis["tensor"] for axis in stream["axes"]}


def test_the_provenance_names_the_input_and_the_copy(wsp, folder: Path, tmp_path: Path) -> None:
    assert wsp("untie", folder, "-o", tmp_path / "out", "-q").stdout == ""
    written = json.loads((tmp_path / "out" / "wsp.json").read_text())
    assert written["command"] == "wsp untie"
    assert written["inputs"] == {str(folder): open_checkpoint(folder).sha256()}
    assert written["recipe"]["copies"] == {"lm_head.weight": "transformer.wte.weight"}


def test_shards_stay_shards(wsp, tmp_path: Path) -> None:
    torch.manual_seed(0)
    gpt2().bfloat16().save_pretrained(tmp_path / "in", max_shard_size="5KB")
    assert wsp("untie", tmp_path / "in", "-o", tmp_path / "out").status == 0
    before, after = open_checkpoint(tmp_path / "in"), open_checkpoint(tmp_path / "out")
    assert len(after.files) > 2
    assert max(file.stat().st_size for file in after.files) < 2 * max(file.stat().st_size for file in before.files)
    assert set(after) == {*before, "lm_head.weight"}
    assert {after.info(name).dtype for name in after} == {torch.bfloat16}
    assert torch.equal(logits(tmp_path / "out"), logits(tmp_path / "in"))


# ------------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def refused(wsp, tmp_path: Path):
    """Untie something and expect one line, and nothing new in the folder."""

    def refused(checkpoint: Path, *parts: str, output: Path = tmp_path / "out") -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        wsp("untie", checkpoint, "-o", output).failed_with(*parts)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    return refused


def test_a_failure_in_a_process_of_its_own(start, folder: Path) -> None:
    process = start("untie", folder, "-o", folder)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr.count("\n")) == (1, "", 1)
    assert "expected an output apart from the inputs" in stderr


def test_no_transformers_folder(refused, tmp_path: Path) -> None:
    save_file({"0.weight": torch.ones(2, 2)}, tmp_path / "plain.safetensors")
    refused(tmp_path / "plain.safetensors", "plain.safetensors", "expected a transformers folder")
    refused(tmp_path / "absent", "absent", "no such")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty", "model.safetensors")
    (tmp_path / "timm").mkdir()
    save_file({"0.weight": torch.ones(2, 2)}, tmp_path / "timm" / "model.safetensors")
    (tmp_path / "timm" / "config.json").write_text('{"architecture": "resnet18"}')
    refused(tmp_path / "timm", "config.json", "model_type")


def test_no_tied_head(refused, tmp_path: Path) -> None:
    gpt2(tied=False).save_pretrained(tmp_path / "apart")
    refused(tmp_path / "apart", "apart", "found no tied tensors", "nothing to untie")


def test_outputs_that_are_in_the_way(refused, folder: Path, tmp_path: Path) -> None:
    refused(folder, "input", "name another", output=folder)
    refused(folder, "input", "name another", output=folder / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    refused(folder, "full", "notes.txt", "name another", output=tmp_path / "full")
    refused(folder, "o.safetensors", "expected a folder", output=tmp_path / "o.safetensors")
    (tmp_path / "file").write_text("mine")
    refused(folder, "file", "name another", output=tmp_path / "file")
    refused(folder, "create it first", output=tmp_path / "absent" / "out")


def test_a_result_is_not_replaced(wsp, refused, folder: Path, tmp_path: Path) -> None:
    assert wsp("untie", folder, "-o", tmp_path / "out").status == 0
    refused(folder, "out", "expected a new folder", "name another")


def test_numbers_that_are_none(refused, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.ln_f.bias"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "gpt2", "transformer.ln_f.bias")
