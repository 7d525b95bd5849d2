"""Networks at their published sizes: derived without weights, with every group that there is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from weightspace.source.construction import construct
from weightspace.symmetry import Spec, derive

transformers = pytest.importorskip("transformers")


def spec_of(model_class: str, config_class: str, options: dict[str, Any], **inputs: torch.Tensor) -> Spec:
    config = getattr(transformers, config_class)(use_cache=False, **options)
    module = construct(lambda: getattr(transformers, model_class)(config), meta=True).eval()
    assert all(parameter.is_meta for parameter in module.parameters())
    if hasattr(module, "set_experts_implementation"):
        module.set_experts_implementation("batched_mm")  # pyright: ignore[reportCallIssue]
    return derive(module, (), inputs)


def tokens(length: int = 8) -> torch.Tensor:
    return torch.arange(length)[None]


def sizes(spec: Spec) -> dict[tuple[int, int], int]:
    """How many groups there are by (size, number of groups that they depend on)."""
    return dict(Counter((group.size, len(group.depends_on)) for group in spec.groups))


def decoder(hidden: int, inner: int, layers: int, heads: int, **more: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **more,
    }


def test_mixtral_8x7b():
    options = decoder(4096, 14336, 32, 32, num_key_value_heads=8, num_local_experts=8, num_experts_per_tok=2)
    spec = spec_of(
        "MixtralForCausalLM", "MixtralConfig", options, input_ids=tokens(), attention_mask=torch.ones(1, 8).long()
    )
    assert spec.completeness == 1
    assert sizes(spec) == {
        (4096, 0): 1,  # the residual stream
        (8, 0): 64,  # key-value heads, and experts, of every layer
        (4, 1): 32,  # query heads that share a key-value head
        (128, 1): 32,  # values within a key-value head
        (14336, 1): 32,  # hidden units within an expert
    }


@pytest.mark.slow
def test_llama_70b_has_grouped_queries():
    options = decoder(8192, 28672, 80, 64, num_key_value_heads=8, vocab_size=32000)
    spec = spec_of("LlamaForCausalLM", "LlamaConfig", options, input_ids=tokens())
    assert spec.completeness == 1
    assert sizes(spec) == {(8192, 0): 1, (28672, 0): 80, (8, 0): 80, (8, 1): 80, (128, 1): 80}


@pytest.mark.slow
def test_gpt_neox_20b_has_parallel_branches():
    options = decoder(6144, 24576, 44, 64, vocab_size=50432)
    spec = spec_of("GPTNeoXForCausalLM", "GPTNeoXConfig", options, input_ids=tokens())
    assert spec.completeness == 1
    found = sizes(spec)
    assert (found[6144, 0], found[24576, 0], found[64, 0]) == (1, 44, 44)


def test_t5_11b_has_two_streams():
    options = {"d_model": 1024, "d_kv": 128, "d_ff": 65536, "num_layers": 24, "num_heads": 128, "vocab_size": 32128}
    spec = spec_of("T5ForConditionalGeneration", "T5Config", options, input_ids=tokens(), decoder_input_ids=tokens(6))
    assert spec.completeness == 1
    assert sizes(spec) == {
        (1024, 0): 1,  # one stream for both sides: they share the table of tokens
        (65536, 0): 48,
        # Heads: all layers of a side share one table of position biases; cross attention has none.
        (128, 0): 26,
        (128, 1): 144,
    }


def test_mamba_2_8b():
    options = {"hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280}
    spec = spec_of("MambaForCausalLM", "MambaConfig", options, input_ids=tokens())
    assert spec.completeness == 1
    found = sizes(spec)
    assert found[2560, 0] == 1
    assert found[5120, 0] == 64
    assert found[16, 0] == 64  # states
