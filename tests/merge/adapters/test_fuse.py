"""Fused weights are those of PEFT, for every form that an adapter may have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.merge.adapters.peft_models import adapted, bert, gpt2, llama, merged_by_peft, peft, transformers
from weightspace.checkpoint import open_adapter
from weightspace.merge.adapters import fuse

FORMS = {
    "gpt2": (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "gpt2 and its head": (gpt2, {"target_modules": ["c_attn", "c_fc", "lm_head"]}),
    "llama": (llama, {"target_modules": ["q_proj", "k_proj", "down_proj"]}),
    "all linear": (llama, {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}),
    "ranks": (
        llama,
        {
            "target_modules": ["q_proj", "k_proj", "down_proj"],
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.down_proj": 4, "model.layers.0.self_attn.k_proj": 1},
            "alpha_pattern": {"k_proj": 7},
        },
    ),
    "rslora": (llama, {"target_modules": ["q_proj"], "use_rslora": True, "rank_pattern": {"layers.1.*": 2}}),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    "modules to save": (bert, {"target_modules": ["q_lin"], "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"}),
    "norms": (llama, {"target_modules": ["v_proj"], "modules_to_save": ["input_layernorm"]}),
    "all biases": (bert, {"target_modules": ["q_lin"], "bias": "all"}),
    "biases beside": (bert, {"target_modules": ["q_lin", "lin1"], "bias": "lora_only"}),
    "biases of factors": (bert, {"target_modules": ["q_lin", "lin1"], "lora_bias": True}),
    "dora": (llama, {"target_modules": ["q_proj", "down_proj"], "use_dora": True}),
    "dora of gpt2": (gpt2, {"target_modules": ["c_attn", "c_proj"], "use_dora": True, "fan_in_fan_out": True}),
}


@pytest.mark.parametrize("form", FORMS)
def test_fused_as_peft_does(form: str, tmp_path: Path):
    build, settings = FORMS[form]
    network = build()
    model, adapter = adapted(network, tmp_path / "adapter", **settings)
    expected = merged_by_peft(model)
    fused = fuse(network.state_dict(), [adapter])
    assert list(fused.tensors) == list(network.state_dict())
    for name, tensor in expected.items():
        assert torch.allclose(fused.tensors[name], tensor, atol=1e-6, rtol=1e-5), name
    different = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, expected[name])}
    assert set(fused.changed) == different
    assert fused.brought == {}


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3)
        self.second = nn.Conv2d(5, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.mark.parametrize("dora", [False, True])
def test_convolutions(tmp_path: Path, dora: bool):
    torch.manual_seed(0)
    network = Convolutions()
    model, adapter = adapted(network, tmp_path / "adapter", target_modules=["first", "second"], use_dora=dora)
    fused = fuse(network.state_dict(), [adapter])
    for name, tensor in merged_by_peft(model).items():
        assert torch.allclose(fused.tensors[name], tensor, atol=1e-6), name


def test_half_precision_stays(tmp_path: Path):
    network = llama().bfloat16()
    model, adapter = adapted(network, tmp_path / "adapter", target_modules=["q_proj"])
    fused = fuse(network.state_dict(), [adapter])
    for name, tensor in merged_by_peft(model).items():
        assert fused.tensors[name].dtype == torch.bfloat16
        assert torch.allclose(fused.tensors[name], tensor, rtol=1e-2, atol=1e-3), name


def test_weights_count_each_adapter(tmp_path: Path):
    network = llama()
    state = network.state_dict()
    a = adapted(network, tmp_path / "a", seed=1, target_modules=["q_proj"])[1]
    b = adapted(network, tmp_path / "b", seed=2, target_modules=["q_proj", "v_proj"], use_dora=True)[1]
    both = fuse(state, [a, b], weights=[0.5, -2.0]).tensors
    alone = [fuse(state, [one]).tensors for one in (a, b)]
    for name, tensor in state.items():
        expected = tensor + 0.5 * (alone[0][name] - tensor) - 2 * (alone[1][name] - tensor)
        assert torch.allclose(both[name], expected, atol=1e-6), name


def test_a_base_without_the_prefix(tmp_path: Path):
    network = gpt2()
    model, adapter = adapted(network, tmp_path / "adapter", target_modules=["c_attn"], fan_in_fan_out=True)
    expected = merged_by_peft(model)
    fused = fuse(network.transformer.state_dict(), [adapter])
    assert set(fused.tensors) == set(network.transformer.state_dict())
    assert all(torch.allclose(fused.tensors[n], expected[f"transformer.{n}"], atol=1e-6) for n in fused.tensors)


@pytest.mark.parametrize("name", ["imdb", "emotion"])
def test_real_adapters(name: str, shared_data: Path):
    folder = shared_data / "lora_distilbert" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    torch.manual_seed(0)
    labels = 2 if name == "imdb" else 6
    network = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(num_labels=labels))
    state = {n: t.clone() for n, t in network.state_dict().items()}
    expected = peft.PeftModel.from_pretrained(network, folder).merge_and_unload().state_dict()
    fused = fuse(state, [open_adapter(folder)])
    worst = max(float((fused.tensors[n] - t).abs().max()) for n, t in expected.items())
    assert worst < 1e-6
    assert len(fused.changed) == 12 + 4
    # Of a base without a head that of the adapter is the one.
    bare = {n: t for n, t in state.items() if n.startswith("distilbert.")}
    brought = fuse(bare, [open_adapter(folder)])
    assert brought.brought["classifier.weight"] == (labels, 768)
    assert torch.equal(brought.tensors["classifier.weight"], expected["classifier.weight"])
