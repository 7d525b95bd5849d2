"""Networks that several benchmarks build, each with inputs that it takes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from weightspace.source import Inputs, resolve_source

ZOO = Path(__file__).resolve().parents[1] / "checkpoints_zoo"
TOKENS = 512
BILLION = {"width": 2048, "hidden": 8192, "heads": 32, "kv": 8, "vocabulary": 32_000}  # of a Llama of 16 layers
Network = tuple[nn.Module, Inputs]


def timm(name: str, *, meta: bool = False) -> Network:
    source = resolve_source(f"timm:{name}")
    return source.build(meta=meta), source.example_inputs(batch=1)


def mlp(width: int = 512) -> Network:
    """The perceptron of Git Re-Basin's first experiment: three hidden layers on MNIST."""
    sizes = (784, width, width, width, 10)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval(), Inputs((torch.randn(2, 784),))


def resnet20(width: int) -> Network:
    """Shortcuts of option A; `width` times 16, 32 and 64 channels."""
    source = resolve_source(f"{ZOO / 'cifar_resnet.py'}:resnet20")
    module = type(source.build())(3, width)
    return module.eval(), source.example_inputs(batch=1)


def vgg() -> Network:
    """VGG-11 for CIFAR-10: eight convolutions with batch norms, one linear layer."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)).eval(), Inputs((torch.randn(1, 3, 32, 32),))


def tokens(vocabulary: int = TOKENS) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return Inputs((torch.randint(vocabulary, (2, 16), generator=generator),), {"use_cache": False})


def llama(
    layers: int = 2,
    *,
    width: int = 256,
    hidden: int = 688,
    heads: int = 8,
    kv: int = 2,
    vocabulary: int = TOKENS,
    meta: bool = False,
) -> Network:
    """Grouped queries, RoPE, RMSNorm, gated MLP, tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta" if meta else "cpu"):
        return LlamaForCausalLM(config).eval(), tokens(vocabulary)


def gpt2() -> Network:
    """8 heads, fused QKV, learned positions, LayerNorm, tied embeddings."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=TOKENS, n_embd=256, n_layer=2, n_head=8, n_positions=64, bos_token_id=0, eos_token_id=0
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval(), tokens()
