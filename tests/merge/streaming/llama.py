"""Small Llama-shaped checkpoints, as transformers writes them: names, shapes, a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HIDDEN, INNER, VOCABULARY = 16, 24, 40
State = dict[str, Tensor]


def llama(seed: int, *, layers: int = 4, vocabulary: int = VOCABULARY) -> State:
    """Weights near those of seed 0, as fine-tunes of it have them."""
    base, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(100 + seed)
    shapes = {"model.embed_tokens.weight": (vocabulary, HIDDEN)}
    for layer in range(layers):
        inside = {
            "input_layernorm": (HIDDEN,), "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN, HIDDEN),
            "self_attn.v_proj": (HIDDEN, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
            "post_attention_layernorm": (HIDDEN,), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }  # fmt: skip
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in inside.items()}
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (vocabulary, HIDDEN)}
    change = 0.02 if seed else 0.0
    return {
        name: torch.randn(shape, generator=base) * 0.1 + change * torch.randn(shape, generator=own)
        for name, shape in shapes.items()
    }


def save_llama(
    folder: Path,
    seed: int,
    dtype: torch.dtype = torch.float32,
    *,
    layers: int = 4,
    kinds: bool = True,
    vocabulary: int = VOCABULARY,
    tied: bool = False,
) -> Path:
    """A folder as transformers writes it, with something in its configuration for every layer."""
    folder.mkdir()
    state = {name: tensor.to(dtype) for name, tensor in llama(seed, layers=layers, vocabulary=vocabulary).items()}
    if tied:
        del state["lm_head.weight"]
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 2,
        "vocab_size": vocabulary, "rms_norm_eps": 1e-6, "max_position_embeddings": 64, "tie_word_embeddings": tied,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }  # fmt: skip
    if kinds:
        config["layer_types"] = [f"kind {at}" for at in range(layers)]
    (folder / "config.json").write_text(json.dumps(config))
    return folder
