"""No source given: a plain stack inferred from the checkpoint's own names and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.source.base import Inputs, Source
from weightspace.source.construction import construct
from weightspace.source.stack_layout import LayerShape, read_stack

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "identity": lambda x: x,
}
"""What may stand between two layers: functions of one unit, so that the symmetry is the same for all of them."""

_SIDE = 8


@dataclass(frozen=True)
class StackSource(Source):
    """Linear and convolution layers one after the other.

    The permutation symmetry of such a stack does not depend on what stands between its layers, as long as it acts on
    each unit alone, nor on strides and pooling. The function does: see `evaluation_refusal`.

    Attributes:
        label: What the messages call it.
        layers: The layers from input to output.
        activation: Name in `ACTIVATIONS`; None when the user did not say, then ReLU stands in for checks.
    """

    label: str
    layers: tuple[LayerShape, ...]
    activation: str | None = None

    @override
    def build(self, *, meta: bool = False) -> nn.Module:
        try:
            return construct(lambda: StackModule(self.layers, ACTIVATIONS[self.activation or "relu"]), meta=meta).eval()
        except KeyError as error:  # torch refuses module names like "forward"
            raise SourceError(f"{self.label}: {error.args[0]}; pass --arch FILE.py:callable") from error

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        first = self.layers[0]
        shape = (first.weight[1], *([_SIDE] * first.spatial))
        return Inputs((torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype),))

    @override
    def with_classes(self, classes: int) -> StackSource:
        last = self.layers[-1]
        return replace(self, layers=(*self.layers[:-1], replace(last, weight=(classes, *last.weight[1:]))))

    @override
    def evaluation_refusal(self) -> str | None:
        if any(layer.spatial for layer in self.layers):
            return (
                f"{self.label}: the tensors do not say the strides, padding and pooling between convolutions, so the "
                "network cannot be evaluated; write it down and pass --arch FILE.py:callable"
            )
        if self.activation is None and len(self.layers) > 1:
            return (
                f"{self.label}: the tensors do not say the activation between the layers, so the network cannot be "
                "evaluated; pass --activation (relu, tanh, gelu, ...) or --arch FILE.py:callable"
            )
        return None


def stack_source(checkpoint: Checkpoint, *, activation: str | None = None) -> StackSource:
    """Infer a plain stack from a checkpoint; reads no data.

    Raises:
        SourceError: The tensors are not those of a plain stack, or the activation is unknown.
    """
    if activation is not None and activation not in ACTIVATIONS:
        near = get_close_matches(activation, ACTIVATIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(ACTIVATIONS)}"
        raise SourceError(f"--activation: unknown activation {activation!r}; {hint}")
    shapes = {name: tuple(checkpoint.info(name).shape) for name in checkpoint}
    layers = read_stack(Path(checkpoint.path), shapes)
    return StackSource(str(checkpoint.path), layers, activation)


class StackModule(nn.Module):
    """The stack as a module whose state dict has exactly the names of the checkpoint.

    Between a convolution and a linear layer the map is pooled to as many pixels as the linear layer has inputs per
    channel; that the linear layer's inputs are (channels, pixels) is all that the symmetry depends on.
    """

    def __init__(self, layers: tuple[LayerShape, ...], activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._names = [layer.name for layer in layers]
        self._activation = activation
        # Pixels per channel that each layer reads, where it stands behind a convolution and is linear itself.
        self._pixels = {
            second.name: second.weight[1] // first.weight[0]
            for first, second in pairwise(layers)
            if first.spatial and not second.spatial
        }
        # Parents before children, should one layer's name lie below another's.
        for layer in sorted(layers, key=lambda layer: layer.name.count(".")):
            self._place(layer.name, _module(layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, in, ...) to (batch, out, ...); pixels are flattened before a first layer that is linear."""
        for i, name in enumerate(self._names):
            layer = self.get_submodule(name)
            if i > 0:
                x = self._activation(x)
            if name in self._pixels:
                x = _pool(x, self._pixels[name])
            if isinstance(layer, nn.Linear):
                x = x.flatten(1)
            x = layer(x)
        return x

    def _place(self, path: str, layer: nn.Module) -> None:
        *parents, leaf = path.split(".")
        owner: nn.Module = self
        for part in parents:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        owner.add_module(leaf, layer)


def _module(layer: LayerShape) -> nn.Module:
    out, inputs, *kernel = layer.weight
    if not kernel:
        return nn.Linear(inputs, out, bias=layer.bias)
    convolution: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(kernel) - 1]
    return convolution(inputs, out, tuple(kernel), padding=tuple(side // 2 for side in kernel), bias=layer.bias)


def _pool(x: torch.Tensor, pixels: int) -> torch.Tensor:
    """Average a map (batch, channels, ...) down to `pixels` values per channel, as square as the number allows."""
    spatial = x.ndim - 2
    sides = [1] * (spatial - 1) + [pixels]
    if spatial >= 2:
        short = next(side for side in range(math.isqrt(pixels), 0, -1) if pixels % side == 0)
        sides[-2:] = [short, pixels // short]
    pool: Any = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[spatial - 1]
    return pool(tuple(sides))(x)
