"""`wsp adapter` on folders that PEFT and transformers wrote, loaded again by both."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import mlp
from tests.merge.adapters.peft_models import adapted, bert, gpt2, llama, loaded, logits, merged_by_peft, transformers
from weightspace.checkpoint import open_checkpoint

Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small Llama as transformers saves it."""
    llama().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapters(tmp_path: Path, base: Path) -> list[Path]:
    """Two adapters of it, of other ranks and modules."""
    adapted(llama(), tmp_path / "one", seed=1, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted(llama(), tmp_path / "two", seed=2, target_modules=["q_proj", "up_proj"], r=2, task_type="CAUSAL_LM")
    return [tmp_path / "one", tmp_path / "two"]


def reopened(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def test_a_fused_folder_is_the_model_with_its_adapter(wsp, base: Path, adapters: list[Path], tmp_path: Path):
    outcome = wsp("adapter", "fuse", base, adapters[0], "-o", tmp_path / "out", "--json")
    assert outcome.status == 0, outcome.stderr
    assert len(outcome.document["changed"]) == 4
    assert torch.allclose(logits(reopened(tmp_path / "out")), logits(loaded(llama(), adapters[0])), atol=1e-5)
    written = json.loads((tmp_path / "out" / "wsp.json").read_text())
    assert written["command"] == "wsp adapter fuse"
    assert written["inputs"] == {
        str(base): open_checkpoint(base).sha256(),
        str(adapters[0]): open_checkpoint(adapters[0] / "adapter_model.safetensors").sha256(),
    }
    assert wsp("adapter", "fuse", base, *adapters, "-o", tmp_path / "out", "--weight", "0.5,-1", "-q").stdout == ""


def test_a_file_in_shards_and_a_file(wsp, adapters: list[Path], tmp_path: Path):
    llama().save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    single = tmp_path / "out.safetensors"
    for output in (tmp_path / "out", single):
        assert wsp("adapter", "fuse", tmp_path / "shards", *adapters, "-o", output).status == 0
    assert len(open_checkpoint(tmp_path / "out").files) > 2
    whole, parts = load_file(single), open_checkpoint(tmp_path / "out")
    assert set(whole) == set(parts)
    assert all(torch.equal(whole[name], parts[name]) for name in parts)


def test_what_was_fused_is_extracted(wsp, base: Path, adapters: list[Path], tmp_path: Path):
    assert wsp("adapter", "fuse", base, adapters[0], "-o", tmp_path / "tuned").status == 0
    outcome = wsp("adapter", "extract", base, tmp_path / "tuned", "-o", tmp_path / "out", "--rank", 3)
    assert outcome.status == 0, outcome.stderr
    assert "q_proj" in outcome.stdout
    assert "0.00%" in outcome.stdout
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["task_type"], config["r"], config["lora_alpha"]) == ("CAUSAL_LM", 3, 3)
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert config["base_model_name_or_path"] == str(base)
    model = loaded(llama(), tmp_path / "out")
    assert torch.allclose(logits(model), logits(reopened(tmp_path / "tuned")), atol=1e-5)
    by_energy = wsp(
        "adapter", "extract", base, tmp_path / "tuned", "-o", tmp_path / "less", "--energy", 0.5, "--drop", "v_proj",
        "--json",
    )  # fmt: skip
    document = by_energy.document
    assert {layer["rank"] for layer in document["layers"]} <= {1, 2}
    assert len(document["dropped"]) == 2
    assert 0 < document["error"] < 0.71


def test_adapters_become_one(wsp, base: Path, adapters: list[Path], tmp_path: Path):
    arguments = ("adapter", "merge", *adapters, "-o", tmp_path / "out", "--weight", "1,2", "--set", "normalize=false")
    outcome = wsp(*arguments, "--json")
    assert outcome.status == 0, outcome.stderr
    assert {layer["rank"] for layer in outcome.document["layers"]} == {2, 3, 5}
    assert wsp(*arguments, "-q").status == 0  # again, over its own result
    assert wsp("adapter", "fuse", base, *adapters, "-o", tmp_path / "fused", "--weight", "1,2").status == 0
    expected = logits(reopened(tmp_path / "fused"))
    assert torch.allclose(logits(loaded(llama(), tmp_path / "out")), expected, atol=1e-5)
    less = wsp("adapter", "merge", *adapters, "-o", tmp_path / "less", "--rank", 2)
    assert "adapters merged by linear" in less.stdout
    loaded(llama(), tmp_path / "less")


def test_a_classifier(wsp, tmp_path: Path):
    bert(0).save_pretrained(tmp_path / "base")
    settings = {"target_modules": ["q_lin"], "task_type": "SEQ_CLS"}
    model, _ = adapted(bert(0), tmp_path / "one", **settings)
    fused = wsp("adapter", "fuse", tmp_path / "base", tmp_path / "one", "-o", tmp_path / "tuned")
    assert fused.status == 0, fused.stderr
    for name, tensor in merged_by_peft(model).items():
        assert torch.allclose(open_checkpoint(tmp_path / "tuned")[name], tensor, atol=1e-6), name
    outcome = wsp("adapter", "extract", tmp_path / "base", tmp_path / "tuned", "-o", tmp_path / "out", "--rank", 4)
    assert outcome.status == 0, outcome.stderr
    assert "saved whole: pre_classifier, classifier" in outcome.stdout
    assert torch.allclose(logits(loaded(bert(0), tmp_path / "out")), logits(model), atol=1e-5)


def test_a_plain_stack_needs_no_configuration(wsp, mlp_pair: tuple[Path, Path], tmp_path: Path):
    state = torch.load(mlp_pair[0], weights_only=True)
    torch.save({name: tensor + torch.randn(tensor.shape) for name, tensor in state.items()}, tmp_path / "tuned.pt")
    outcome = wsp("adapter", "extract", mlp_pair[0], tmp_path / "tuned.pt", "-o", tmp_path / "out", "--rank", 12)
    assert outcome.status == 0, outcome.stderr
    model, expected = loaded(mlp(0), tmp_path / "out"), mlp(0)
    expected.load_state_dict(torch.load(tmp_path / "tuned.pt", weights_only=True))
    x = torch.randn(5, 12)
    assert torch.allclose(model(x), expected(x), atol=1e-4)


# ------------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def refused(wsp, tmp_path: Path):
    """Run a command and expect one line, and nothing new in the folder."""

    def refused(verb: str, *arguments: object, parts: tuple[str, ...], output: Path = tmp_path / "out") -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        wsp("adapter", verb, *arguments, "-o", output).failed_with(*parts)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert not output.exists() or output in {path.parent for path in before} | set(before)

    return refused


CONFIGURATIONS = {
    "another type": ({"peft_type": "IA3"}, ("LORA", "IA3")),
    "rank 0": ({"r": 0}, ("rank of at least 1", "0")),
    "no rank": ({"r": None}, ("rank of at least 1", "None")),
    "another rank": ({"r": 4}, ("layers.0.self_attn.q_proj", "rank 4", "(3, 16)")),
    "alpha": ({"lora_alpha": "much"}, ("lora_alpha", "'much'")),
    "a pattern": ({"rank_pattern": {"(": 3}}, ("rank_pattern", "'('")),
    "no patterns": ({"alpha_pattern": [1]}, ("alpha_pattern", "[1]")),
    "modules to save": ({"modules_to_save": "head"}, ("modules_to_save", "'head'")),
    "a start that changes the base": ({"init_lora_weights": "pissa"}, ("init_lora_weights", "'pissa'")),
    "repeated layers": ({"layer_replication": [[0, 1]]}, ("layer_replication",)),
    "a variant of the future": ({"use_something": True}, ("use_something",)),
    "magnitudes that are not there": ({"use_dora": True}, ("magnitudes", "none")),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
@pytest.mark.parametrize("verb", ["fuse", "merge"])
def test_configurations(refused, base: Path, adapters: list[Path], case: str, verb: str):
    changes, parts = CONFIGURATIONS[case]
    path = adapters[0] / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(verb, base if verb == "fuse" else adapters[1], adapters[0], parts=(str(adapters[0]), *parts))


def test_folders_that_are_no_adapters(refused, base: Path, adapters: list[Path], tmp_path: Path):
    refused("fuse", base, base, parts=("adapter_config.json",))
    refused("fuse", base, tmp_path / "absent", parts=("absent", "adapter_config.json"))
    (adapters[0] / "adapter_config.json").write_text("[]")
    refused("merge", *adapters, parts=("LORA",))
    (adapters[1] / "adapter_model.safetensors").unlink()
    refused("fuse", base, adapters[1], parts=("adapter_model.safetensors",))


def test_a_pickle_is_read_without_its_code(wsp, refused, base: Path, adapters: list[Path], tmp_path: Path):
    file = adapters[0] / "adapter_model.safetensors"
    torch.save(load_file(file), adapters[0] / "adapter_model.bin")
    file.unlink()
    assert wsp("adapter", "fuse", base, adapters[0], "-o", tmp_path / "fused").status == 0

    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").mkdir, ()

    (adapters[0] / "adapter_model.bin").write_bytes(pickle.dumps(Evil()))
    refused("fuse", base, adapters[0], parts=("adapter_model.bin",))
    assert not (tmp_path / "ran").exists()


def changed(folder: Path, **tensors: torch.Tensor | None) -> None:
    file = folder / "adapter_model.safetensors"
    stored = load_file(file) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: tensor for name, tensor in stored.items() if tensor is not None}, file)


def test_tensors_that_do_not_fit(refused, base: Path, adapters: list[Path]):
    one = adapters[0]
    kept = (one / "adapter_model.safetensors").read_bytes()
    for tensors, parts in (
        ({f"{Q}.lora_A.weight": torch.ones(3, 15)}, ("q_proj", "(16, 15)", "(16, 16)")),
        ({f"{Q}.lora_A.weight": torch.full((3, 16), torch.nan)}, ("lora_A", "finite")),
        ({f"{Q}.lora_B.weight": None}, ("q_proj", "lora_A and lora_B")),
        ({f"{Q}.lora_E": torch.ones(3)}, ("lora_E",)),
        ({f"{Q}.lora_A.other.weight": torch.ones(3, 16)}, ("one adapter", "other")),
        ({"base_model.model.head.weight": torch.ones(2)}, ("head.weight", "modules_to_save")),
        (
            {f"base_model.model.absent.lora_{part}.weight": torch.ones(3, 3) for part in "AB"},
            ("absent.weight", "found none"),
        ),
    ):
        changed(one, **tensors)
        refused("fuse", base, one, parts=(str(one), *parts))
        (one / "adapter_model.safetensors").write_bytes(kept)


def test_outputs_that_are_in_the_way(refused, base: Path, adapters: list[Path], tmp_path: Path):
    for output, part in (
        (base, "input"),
        (base / "out", "inside"),
        (adapters[0] / "out", "inside"),
        (tmp_path / "absent" / "out", "create it first"),
    ):
        refused("fuse", base, adapters[0], parts=(part,), output=output)
        refused("extract", base, base, "--rank", 2, parts=(part,), output=output) if "one" not in str(output) else None
    refused("merge", *adapters, parts=("inside",), output=adapters[1] / "out")
    refused("merge", *adapters, parts=("folder",), output=tmp_path / "out.safetensors")
    refused("extract", base, adapters[0], "--rank", 1, parts=("folder",), output=tmp_path / "out.v2")


def test_tied_heads(refused, tmp_path: Path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, n_positions=16, vocab_size=50)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "tied")
    adapted(gpt2(), tmp_path / "of head", target_modules=["lm_head"])
    refused("fuse", tmp_path / "tied", tmp_path / "of head", parts=("lm_head.weight", "wsp untie"))
    adapted(gpt2(), tmp_path / "of tokens", target_modules=["wte"])
    refused("fuse", tmp_path / "tied", tmp_path / "of tokens", parts=("wte.weight", "tied", "wsp untie"))


def test_requests_that_make_no_sense(wsp, refused, base: Path, adapters: list[Path], tmp_path: Path):
    refused("merge", adapters[0], parts=("at least 2 adapters",))
    refused("merge", *adapters, "--method", "nonsense", parts=("nonsense", "linear"))
    refused("merge", *adapters, "--set", "density=1", parts=("density", "linear"))
    refused("merge", *adapters, "--energy", 2, parts=("energy",))
    refused("extract", base, base, "--energy", 0, parts=("energy",))
    refused("extract", base, base, "--rank", 1, parts=("differ",))
    for wrong in (("extract", base, base), ("merge", *adapters, "--weight", "1"), ("merge", *adapters, "--set", "x")):
        assert wsp("adapter", *wrong, "-o", tmp_path / "out").status == 2
