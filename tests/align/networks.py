"""Small networks of every shape that alignment must cope with, each with inputs that it takes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive

Network = tuple[nn.Module, Inputs]


def mlp() -> Network:
    layers = nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 5)
    return nn.Sequential(*layers), Inputs((torch.randn(6, 12),))


class SmallCNN(nn.Module):
    """Plain, depth-wise and residual convolutions with batch norms, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depth, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.wide, self.norm3 = nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.stem(x)))
        y = torch.relu(self.norm3(self.wide(self.norm2(self.depth(x)))))
        return self.head(nn.functional.max_pool2d(x + self.narrow(y), 2).flatten(1))


def cnn() -> Network:
    return SmallCNN(), Inputs((torch.randn(2, 3, 8, 8),))


class SmallGRU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 10)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state)


def gru() -> Network:
    return SmallGRU(), Inputs((torch.randn(3, 4, 6),))


def tokens() -> Inputs:
    return Inputs((torch.arange(14).reshape(2, 7) * 5 % 61,), {"use_cache": False})


def gpt2() -> Network:
    """Fused QKV, learned positions, LayerNorm, tied embeddings."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config), tokens()


def llama() -> Network:
    """Grouped queries, RoPE, RMSNorm, gated MLP, tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=61,
        hidden_size=36,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=8,
        max_position_embeddings=16,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config), tokens()


def resnet20() -> Network:
    """Shortcuts of option A: channels padded with zeros on both sides."""
    path = Path(__file__).resolve().parents[2] / "checkpoints_zoo" / "cifar_resnet.py"
    loader = importlib.util.spec_from_file_location("cifar_resnet", path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    return module.resnet20()[0], Inputs((torch.randn(2, 3, 32, 32),))


NETWORKS = {build.__name__: build for build in (mlp, cnn, gru, gpt2, llama, resnet20)}


def built(name: str) -> tuple[Program, Spec]:
    """A network of the table, as a function of its weights, with its derived symmetry."""
    torch.manual_seed(0)
    return built_of(NETWORKS[name]())


def built_of(network: Network) -> tuple[Program, Spec]:
    """A network as a function of its weights, with its derived symmetry."""
    module, inputs = network
    module.eval()
    return Program(module, inputs), derive(module, inputs.args, inputs.kwargs)
