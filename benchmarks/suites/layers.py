"""Small networks of torch's own recurrent and transformer layers, and other plain designs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suites import Case
from weightspace.source import Inputs
from weightspace.source.construction import construct

TOKENS, WIDTH, HIDDEN, STEPS = 23, 12, 20, 7


class Recurrent(nn.Module):
    """Tokens, a recurrent layer, logits at every step."""

    def __init__(self, layer: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.recurrent = layer(WIDTH, HIDDEN, batch_first=True, **options)
        out = options.get("proj_size") or HIDDEN
        self.head = nn.Linear(out * (2 if options.get("bidirectional") else 1), TOKENS)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(ids))[0])


class Encoder(nn.Module):
    """Tokens, `nn.TransformerEncoder`, logits."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, HIDDEN)
        layer = nn.TransformerEncoderLayer(HIDDEN, 4, 28, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(HIDDEN), enable_nested_tensor=False)
        self.head = nn.Linear(HIDDEN, TOKENS)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(ids)))


class Decoder(nn.Module):
    """Tokens and a memory, `nn.TransformerDecoder` with a causal mask, logits."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, HIDDEN)
        self.memory = nn.Linear(WIDTH, HIDDEN)
        layer = nn.TransformerDecoderLayer(HIDDEN, 4, 28, batch_first=True, **options)
        self.decoder = nn.TransformerDecoder(layer, 2, nn.LayerNorm(HIDDEN))
        self.head = nn.Linear(HIDDEN, TOKENS)

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.decoder(self.embedding(ids), self.memory(memory), tgt_mask=mask.to(memory.dtype)))


class Translator(nn.Module):
    """`nn.Transformer` between two vocabularies."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(TOKENS, HIDDEN), nn.Embedding(TOKENS, HIDDEN)
        self.transformer = nn.Transformer(HIDDEN, 4, 2, 2, 28, batch_first=True)
        self.head = nn.Linear(HIDDEN, TOKENS)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.transformer(self.source(source), self.target(target)))


class Siren(nn.Module):
    """A field with sine activations (Sitzmann et al. 2020), frequency 30."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in ((2, 32), (32, 32), (32, 32)))
        self.last = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sin(30 * layer(x))
        return self.last(x)


class UNet(nn.Module):
    """Two levels down and up, skips by concatenation (Ronneberger et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList((self._block(3, 8), self._block(8, 16)))
        self.middle = self._block(16, 32)
        self.up = nn.ModuleList((nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)))
        self.join = nn.ModuleList((self._block(32, 16), self._block(16, 8)))
        self.last = nn.Conv2d(8, 2, 1)

    @staticmethod
    def _block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.middle(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat((skip, up(x)), 1))
        return self.last(x)


class Diffusion(nn.Module):
    """Residual blocks as in diffusion models: GroupNorm, SiLU, a scale and shift from the time (Ho et al. 2020)."""

    def __init__(self, before: int = 3, width: int = 16, time: int = 24) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(before, width, 3, padding=1)
        self.blocks = nn.ModuleList(DiffusionBlock(*widths, time) for widths in ((width, width), (width, 2 * width)))
        self.norm = nn.GroupNorm(4, 2 * width)
        self.last = nn.Conv2d(2 * width, before, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(1e4) * torch.arange(8, dtype=x.dtype) / 8)
        angles = t[:, None] * frequencies
        time = self.time(torch.cat((angles.cos(), angles.sin()), 1))
        x = self.first(x)
        for block in self.blocks:
            x = block(x, time)
        return self.last(F.silu(self.norm(x)))


class DiffusionBlock(nn.Module):
    def __init__(self, before: int, after: int, time: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, before), nn.GroupNorm(4, after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.time = nn.Linear(time, 2 * after)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.shortcut(x) + self.conv2(F.silu(h))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021) on patches of 8 pixels."""

    def __init__(self, side: int = 32, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        tokens = (side // 8) ** 2
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.tokens = nn.ModuleList(_mlp(tokens, 20, tokens) for _ in range(depth))
        self.channels = nn.ModuleList(_mlp(width, 40, width) for _ in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for i, (tokens, channels) in enumerate(zip(self.tokens, self.channels, strict=True)):
            x = x + tokens(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x).mean(1))


class DeepSets(nn.Module):
    """A function of sets: sum over the elements (Zaheer et al. 2017), with equivariant layers before it."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ModuleList((nn.Linear(5, 16), nn.Linear(16, 24)))
        self.pooled = nn.ModuleList((nn.Linear(5, 16, bias=False), nn.Linear(16, 24, bias=False)))
        self.head = _mlp(24, 18, 4)

    def forward(self, x: Tensor) -> Tensor:
        for own, pooled in zip(self.own, self.pooled, strict=True):
            x = F.relu(own(x) + pooled(x.mean(1, keepdim=True)))
        return self.head(x.sum(1))


def cases() -> list[Case]:
    ids = partial(torch.randint, 0, TOKENS, (2, STEPS))
    found = []

    def add(family: str, name: str, create: Callable[[], nn.Module], *inputs: Callable[..., Tensor]) -> None:
        found.append(Case(family, name, partial(_build, create, inputs)))

    for layer in (nn.LSTM, nn.GRU, nn.RNN):
        kind = layer.__name__
        for name, options in (
            ("one layer", {}),
            ("stacked", {"num_layers": 3}),
            ("bidirectional", {"bidirectional": True}),
            ("stacked bidirectional", {"num_layers": 2, "bidirectional": True}),
            ("no bias", {"bias": False}),
        ):
            add(f"torch {kind}", f"{kind}, {name}", partial(Recurrent, layer, **options), ids)
    add("torch LSTM", "LSTM, projected", partial(Recurrent, nn.LSTM, proj_size=8), ids)
    add("torch LSTM", "LSTM, projected stacked bidirectional",
        partial(Recurrent, nn.LSTM, proj_size=8, num_layers=2, bidirectional=True), ids)  # fmt: skip
    add("torch RNN", "RNN, relu", partial(Recurrent, nn.RNN, nonlinearity="relu", num_layers=2), ids)
    memory = partial(torch.randn, 2, 5, WIDTH)
    for first in (False, True):
        order = "norm first" if first else "norm last"
        add("torch transformer", f"TransformerEncoder, {order}", partial(Encoder, norm_first=first), ids)
        add("torch transformer", f"TransformerDecoder, {order}", partial(Decoder, norm_first=first), ids, memory)
    add("torch transformer", "TransformerEncoder, gelu, no bias", partial(Encoder, activation="gelu", bias=False), ids)
    add("torch transformer", "Transformer", Translator, ids, ids)
    add("plain", "SIREN", Siren, partial(torch.rand, 16, 2))
    add("plain", "U-Net", UNet, partial(torch.randn, 2, 3, 16, 16))
    add("plain", "diffusion blocks", Diffusion, partial(torch.randn, 2, 3, 8, 8), partial(torch.rand, 2))
    add("plain", "MLP-Mixer", Mixer, partial(torch.randn, 2, 3, 32, 32))
    add("plain", "DeepSets", DeepSets, partial(torch.randn, 2, 6, 5))
    add("plain", "MLP", lambda: _mlp(9, 30, 5), partial(torch.randn, 4, 9))
    return found


def _build(create: Callable[[], nn.Module], inputs: tuple[Callable[..., Tensor], ...]) -> tuple[nn.Module, Inputs]:
    generator = torch.Generator().manual_seed(0)
    return construct(create, meta=False).eval(), Inputs(tuple(make(generator=generator) for make in inputs))


def _mlp(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, hidden), nn.GELU(), nn.Linear(hidden, after))
