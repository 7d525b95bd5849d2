"""Settings with which libraries build networks with more hidden units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weightspace.source import Source, resolve_source
from weightspace.source.width_config import widened_config


def shapes(source: Source, old: int, new: int, only: str = "") -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters with another number in place of one."""
    return {
        name: tuple(new if size == old and only in name else size for size in parameter.shape)
        for name, parameter in source.build(meta=True).named_parameters()
    }


def folder(path: Path, **settings: object) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(settings))
    return path


GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_layer": 2, "n_head": 2}
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 40,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 50,
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "old", "key"), [(GPT2, 64, "n_inner"), (LLAMA, 40, "intermediate_size")], ids=["gpt2", "llama"]
)
def test_transformers_builds_it_from_one_setting(tmp_path, settings, old, key):
    pytest.importorskip("transformers")
    source = resolve_source(str(folder(tmp_path / "model", **settings)))
    wanted = shapes(source, old, old + 13)
    config = widened_config(source, wanted)
    assert config is not None
    assert config[key] == old + 13
    assert shapes(resolve_source(str(folder(tmp_path / "wide", **config))), 0, 0) == wanted
    assert widened_config(source, shapes(source, old, old + 13, only=".0.")) is None  # one layer only
    assert widened_config(source, shapes(source, 16, 20)) is None  # the residual stream


def test_timm_builds_it_from_a_ratio(tmp_path):
    pytest.importorskip("timm")
    source = resolve_source("timm:vit_tiny_patch16_224")
    wanted = shapes(source, 768, 1001)
    config = widened_config(source, wanted)
    assert config is not None
    again = resolve_source(str(folder(tmp_path / "wide", **config)))
    assert shapes(again, 0, 0) == wanted
    assert again.normalization == source.normalization


def test_of_other_networks_there_is_none():
    source = resolve_source(f"{Path(__file__).resolve().parents[2] / 'checkpoints_zoo' / 'models.py'}:digits_cnn")
    assert widened_config(source, shapes(source, 32, 40)) is None
