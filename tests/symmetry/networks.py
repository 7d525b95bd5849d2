"""Small real networks with example inputs, for derivation and verification from end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def with_input(module: nn.Module, *shape: int) -> Network:
    return module, (torch.randn(shape),), {}


def mlp() -> Network:
    return with_input(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), 4, 6)


def vgg() -> Network:
    features = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)]
    head = [nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3)]
    return with_input(nn.Sequential(*features, *head), 2, 3, 8, 8)


class Dense(nn.Module):
    """Every layer reads all layers before it (Huang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 3 * i) for i in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(4 + 3 * i, 3, 3, padding=1) for i in range(3))
        self.transition = nn.Conv2d(13, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x)))], 1)
        return self.head(F.avg_pool2d(self.transition(x), 2).mean((2, 3)))


def dense() -> Network:
    return with_input(Dense(), 2, 3, 8, 8)


class Residual(nn.Module):
    """A bottleneck with a projection, then one on the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, bias=False)
        self.project = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.first = self.branch(4, 8, 2)
        self.second = self.branch(8, 8, 1)
        self.head = nn.Linear(8, 3)

    @staticmethod
    def branch(channels_in: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels_in, 5, 3, stride, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(inplace=True),
            nn.Conv2d(5, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.project(x) + self.first(x))
        x = F.relu(x + self.second(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def residual() -> Network:
    return with_input(Residual(), 2, 3, 10, 10)


def cifar_resnet20() -> Network:
    path = Path(__file__).resolve().parents[2] / "checkpoints_zoo" / "cifar_resnet.py"
    found = importlib.util.spec_from_file_location("cifar_resnet", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    network, _ = module.resnet20()
    return with_input(network, 2, 3, 16, 16)


def grouped_convolutions() -> Network:
    layers = [nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 5, 1)]
    return with_input(nn.Sequential(*layers, nn.Flatten(), nn.Linear(20, 2)), 2, 3, 4, 4)


def depthwise_separable() -> Network:
    layers = [nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 5, 1)]
    return with_input(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)), 2, 3, 6, 6)


def norms() -> Network:
    layers = [nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 8, 3), nn.GroupNorm(1, 8)]
    layers += [nn.InstanceNorm2d(8, affine=True), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    layers += [nn.LayerNorm(5), nn.SiLU(), nn.Linear(5, 4), nn.RMSNorm(4), nn.Linear(4, 2)]
    return with_input(nn.Sequential(*layers), 2, 3, 8, 8)


class Autoencoder(nn.Module):
    """Strided down, transposed up."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 6, 3, stride=2)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2)
        self.out = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.elu(self.up(F.leaky_relu(self.down(x)))))


def autoencoder() -> Network:
    return with_input(Autoencoder(), 2, 3, 9, 9)


class Recurrent(nn.Module):
    """Two layers of a recurrent network with a head on the last state."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layers, self.head = kind(3, 5, num_layers=2, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0][:, -1])


def gru() -> Network:
    return with_input(Recurrent(nn.GRU), 2, 4, 3)


def lstm() -> Network:
    return with_input(Recurrent(nn.LSTM), 2, 4, 3)


class SelfAttention(nn.Module):
    """Between two layers, so that the width is inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.attention(x, x, x, need_weights=False)[0])


def attention() -> Network:
    return with_input(SelfAttention(), 2, 5, 3)


def attention_with_bias_keys() -> Network:
    return with_input(SelfAttention(add_bias_kv=True, add_zero_attn=True), 2, 5, 3)


def cross_attention() -> Network:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.memory = nn.Linear(3, 8), nn.Linear(4, 6)
            self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            memory = self.memory(y)
            return self.head(self.attention(self.query(x), memory, memory)[0])

    return Cross(), (torch.randn(2, 5, 3), torch.randn(2, 6, 4)), {}


def encoder() -> Network:
    layers = [nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=first) for first in (True, False)]
    return with_input(nn.Sequential(nn.Linear(3, 8), *layers, nn.Linear(8, 2)), 2, 5, 3)


class Slopes(nn.Module):
    """Heads that differ by a slope, as ALiBi has it (Press et al. 2022), on shared keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(6, 16), nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.q(x).view(n, t, 4, 4).transpose(1, 2)
        k, v = (layer(x).view(n, t, 2, 4).transpose(1, 2).repeat_interleave(2, 1) for layer in (self.k, self.v))
        distance = torch.arange(t)[None, :] - torch.arange(t)[:, None]
        bias = distance * (0.5 ** torch.arange(1, 5))[:, None, None]
        y = (q @ k.transpose(-1, -2) + bias.to(q)).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(n, t, 16))


def slopes() -> Network:
    return with_input(Slopes(), 2, 5, 6)


def timm_model(name: str, size: int, **options: Any) -> Network:
    """A model of timm on pictures of another size than its own."""
    import timm

    return with_input(timm.create_model(name, **options), 1, 3, size, size)


def mixer() -> Network:
    from timm.models.mlp_mixer import MlpMixer

    return with_input(MlpMixer(num_classes=3, img_size=24, patch_size=8, num_blocks=2, embed_dim=8), 2, 3, 24, 24)


def gpt2() -> Network:
    import transformers

    config = transformers.GPT2Config(
        vocab_size=19, n_embd=8, n_layer=2, n_head=2, n_positions=12, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config), (torch.arange(10).view(2, 5),), {"use_cache": False}


def llama(tied: bool = True) -> Network:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=19,
        hidden_size=16,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        tie_word_embeddings=tied,
    )
    return transformers.LlamaForCausalLM(config), (torch.arange(10).view(2, 5),), {"use_cache": False}
