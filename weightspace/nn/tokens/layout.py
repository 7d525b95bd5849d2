"""Weights as tokens and back (SANE, Schuerholt et al. 2024, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.nn.batch import networks_in
from weightspace.nn.tokens.batch import TokenBatch
from weightspace.symmetry import Spec


@dataclass(frozen=True, slots=True)
class Layer:
    """Tensors of one module with as many channels: a channel's weights, bias and statistics make one row.

    Attributes:
        names: The tensors.
        rows: Number of channels, the size of their first axis.
        columns: Numbers of one channel in each of them.
    """

    names: tuple[str, ...]
    rows: int
    columns: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers of one channel in all of them."""
        return sum(self.columns)


class TokenLayout:
    """Where the weights of an architecture lie in its tokens: a bijection.

    A row is what a layer holds of one index of the first axis, which is the output channel of linear layers and
    convolutions (of transposed convolutions the input channel); it is cut into tokens, the last of which is padded.

    Weights of two axes or more are multiplied by the root of their fan-in (elements per row), so that layers of all
    widths are on one scale; the inverse divides by it. Nothing is measured on data.

    Args:
        shapes: Shape of one network's tensors by name, in the order of its layers.
        size: Numbers of a token.

    Attributes:
        length: Number of tokens.

    Raises:
        SpecError: A token without size, or networks without weights.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], size: int) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        if size < 1 or not any(math.prod(shape) for shape in self.shapes.values()):
            raise SpecError(
                f"tokens: expected a size of at least 1 and tensors with elements, found size {size} and "
                f"{len(self.shapes)} tensors; give both"
            )
        self.size = size
        self.layers = _layers(self.shapes)
        self._pieces = [math.ceil(layer.width / size) for layer in self.layers]
        counts = torch.tensor([layer.rows * count for layer, count in zip(self.layers, self._pieces, strict=True)])
        self.length = int(counts.sum())
        number = torch.arange(self.length)
        layer_of = torch.arange(len(counts)).repeat_interleave(counts)
        start = counts.cumsum(0) - counts
        self._positions = torch.stack([number, layer_of, number - start[layer_of]], 1)
        self._mask = self._cut([torch.ones(1, layer.rows, layer.width) for layer in self.layers])[0].bool()

    @classmethod
    def of(cls, spec: Spec, size: int) -> TokenLayout:
        """The layout of a spec's parameters and running statistics, each tied one once.

        Args:
            spec: The symmetry of the networks; their tensors follow it.
            size: Numbers of a token.

        Raises:
            SpecError: As for the class.
        """
        return cls({name: tensor.shape for name, tensor in spec.tensors.items() if tensor.kind != "buffer"}, size)

    def tokens(self, tensors: Mapping[str, Tensor]) -> TokenBatch:
        """Cuts networks into tokens; differentiable.

        Args:
            tensors: By name (networks, *shape), all floating.

        Raises:
            SpecError: A tensor is missing or has another shape.
        """
        networks = networks_in(tensors, self.shapes)
        rows = []
        for layer in self.layers:
            scaled = [tensors[name] * self._scale(name) for name in layer.names]
            rows.append(torch.cat([each.reshape(networks, layer.rows, -1) for each in scaled], 2))
        tokens = self._cut(rows)
        mask, positions = self._mask.to(tokens.device), self._positions.to(tokens.device)
        return TokenBatch(tokens, mask.expand_as(tokens), positions.expand(networks, -1, -1))

    def tensors(self, tokens: Tensor) -> dict[str, Tensor]:
        """The inverse of `tokens`; what lies in padding is dropped.

        Args:
            tokens: (networks, tokens, size), further tokens at the end allowed, as in a padded batch.

        Returns:
            By name (networks, *shape), in the order of the layout.

        Raises:
            SpecError: Tokens of another size, or too few.
        """
        if tokens.dim() != 3 or tokens.shape[1] < self.length or tokens.shape[2] != self.size:
            raise SpecError(
                f"tokens: expected (networks, {self.length} or more, {self.size}), found {tuple(tokens.shape)}; give "
                "tokens of this layout"
            )
        found: dict[str, Tensor] = {}
        start = 0
        for layer, pieces in zip(self.layers, self._pieces, strict=True):
            rows = tokens[:, start : start + layer.rows * pieces].reshape(len(tokens), layer.rows, pieces * self.size)
            for name, part in zip(layer.names, rows[:, :, : layer.width].split(layer.columns, 2), strict=True):
                found[name] = part.reshape(len(tokens), *self.shapes[name]) / self._scale(name)
            start += layer.rows * pieces
        return {
            name: found[name] if name in found else tokens.new_zeros(len(tokens), *shape)
            for name, shape in self.shapes.items()
        }

    def _cut(self, rows: list[Tensor]) -> Tensor:
        """Tokens (networks, tokens, size) of the rows (networks, rows, width) of every layer."""
        cut = []
        for layer, pieces, each in zip(self.layers, self._pieces, rows, strict=True):
            padded = torch.nn.functional.pad(each, (0, pieces * self.size - layer.width))
            cut.append(padded.reshape(len(each), layer.rows * pieces, self.size))
        return torch.cat(cut, 1)

    def _scale(self, name: str) -> float:
        shape = self.shapes[name]
        return math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 1.0


def _layers(shapes: Mapping[str, tuple[int, ...]]) -> list[Layer]:
    """Tensors with elements, by the module that they belong to and the size of their first axis."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, shape in shapes.items():
        if math.prod(shape):
            found.setdefault((name.rpartition(".")[0], shape[0] if shape else 1), []).append(name)
    return [
        Layer(tuple(names), rows, tuple(math.prod(shapes[name]) // rows for name in names))
        for (_, rows), names in found.items()
    ]
