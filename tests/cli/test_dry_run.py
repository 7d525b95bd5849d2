"""`--dry-run` of every command that writes weights: nothing is written, and what would be is what then is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from tests.cli.conftest import mlp
from weightspace.checkpoint import open_checkpoint
from wsp.main import app

transformers = pytest.importorskip("transformers")

DATA = ("--data", "features.npz", "--activation", "relu")
COMMANDS = {
    "align": ("align", "a.pt", "b.pt", "--restarts", "1"),
    "canonicalize": ("canonicalize", "a.pt", "--kinds", "permutation"),
    "transport": ("transport", "b.pt", "--from", "a.pt", "--to", "b.pt", "--restarts", "1"),
    "transport of an adapter": ("transport", "adapter", "--from", "llama", "--to", "llama", "--restarts", "1"),
    "untie": ("untie", "gpt2"),
    "fuse": ("adapter", "fuse", "llama", "adapter"),
    "extract": ("adapter", "extract", "a.pt", "b.pt", "--rank", "2"),
    "extract, all ranks": ("adapter", "extract", "a.pt", "b.pt", "--energy", "1"),
    "merge adapters": ("adapter", "merge", "adapter", "other"),
    "merge adapters, larger": ("adapter", "merge", "adapter", "other", "--method", "ties", "--rank", "8"),
    "merge": ("merge", "a.pt", "b.pt", "--restarts", "1"),
    "pleas": ("merge", "a.pt", "b.pt", "--method", "pleas", *DATA, "--rounds", "0"),
    "pleas, larger": (
        "merge", "a.pt", "b.pt", "--method", "pleas", *DATA, "--rounds", "0", "--size", "1.5",
    ),
    "zipit": ("merge", "a.pt", "b.pt", "--method", "zipit", *DATA),
    "linear": ("merge", "a.pt", "b.pt", "--method", "linear"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, mlp_pair, features, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    small = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": 50}
    config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, n_positions=16, **small)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    return tmp_path


@pytest.fixture
def adapters(folder) -> None:
    peft = pytest.importorskip("peft")
    config = transformers.LlamaConfig(
        num_hidden_layers=1, hidden_size=16, intermediate_size=24, num_attention_heads=2, vocab_size=50,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "llama")
    for name in ("adapter", "other"):
        model = transformers.LlamaForCausalLM.from_pretrained(folder / "llama")
        lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        peft.get_peft_model(model, lora).save_pretrained(folder / name)


def listed(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_written_and_what_is_told_comes_true(wsp, folder: Path, request, name: str) -> None:
    command = COMMANDS[name]
    if "adapter" in command[1:] or "llama" in command:
        request.getfixturevalue("adapters")
    before = listed(folder)
    told = wsp(*command, "-o", "out", "--dry-run", "--json")
    assert told.status == 0, told.stderr
    assert listed(folder) == before
    assert "out" in wsp(*command, "-o", "out", "--dry-run").stdout or name == "linear"
    assert listed(folder) == before
    done = wsp(*command, "-o", "out", "-q")
    assert done.status == 0, done.stderr
    written = open_checkpoint(folder / "out")
    size = sum(written.info(each).nbytes for each in written if each not in written.aliases())
    document = told.document
    if document.get("at_most"):
        assert size <= document["bytes"]
    elif name == "linear":
        assert (folder / "out" / "model.safetensors").stat().st_size == document["bytes"]
    else:
        assert (size, len(written)) == (document["bytes"], document["tensors"])


@pytest.mark.parametrize("command", [COMMANDS["align"], COMMANDS["untie"], COMMANDS["merge"]], ids=" ".join)
def test_mistakes_are_found_without_writing(wsp, folder: Path, command: tuple[str, ...]) -> None:
    wsp(*command, "-o", "absent/out", "--dry-run").failed_with("create it first")
    broken = mlp(0).state_dict()
    broken["0.weight"][0, 0] = float("nan")
    torch.save(broken, folder / "a.pt")
    if "a.pt" in command:
        wsp(*command, "-o", "out", "--dry-run").failed_with("finite")


def test_every_command_that_writes_weights_has_it() -> None:
    """A command that takes an output of weights, a required -o, takes --dry-run."""

    def commands(group: typer.Typer, prefix: str = "") -> dict[str, Any]:
        callbacks = [each.callback for each in group.registered_commands if each.callback is not None]
        found = {f"{prefix}{each.__name__}": inspect.signature(each).parameters for each in callbacks}
        for each in group.registered_groups:
            assert each.typer_instance is not None
            found |= commands(each.typer_instance, f"{each.typer_instance.info.name} ")
        return found

    pictures = {"barrier"}
    writing = {
        name for name, parameters in commands(app).items()
        if "output" in parameters and parameters["output"].default is inspect.Parameter.empty
    } - pictures  # fmt: skip
    assert writing == {
        "align", "merge", "canonicalize", "transport", "untie", "adapter fuse", "adapter extract", "adapter merge",
    }  # fmt: skip
    assert all("dry_run" in commands(app)[name] for name in writing)
