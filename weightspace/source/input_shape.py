"""Find an input that a network takes, from its own first layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from weightspace.errors import SourceError
from weightspace.source.user_error import describe

# The sides of the usual data sets first: CIFAR, MNIST, Tiny ImageNet, ImageNet.
_SIDES = (32, 28, 64, 224, 16, 8, 96, 128, 256, 299, 384)
_LENGTHS = (16, 64, 128, 1000, 16000)


@dataclass(frozen=True)
class InputShape:
    """What one sample looks like.

    Attributes:
        shape: Shape without the batch.
        vocabulary: Number of token ids for integer inputs; None for floating ones.
    """

    shape: tuple[int, ...]
    vocabulary: int | None = None

    def sample(self, batch: int, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
        """A random batch, (batch, *shape): standard normal of `dtype`, or int64 ids below the vocabulary's size."""
        if self.vocabulary is not None:
            return torch.randint(0, self.vocabulary, (batch, *self.shape), generator=generator)
        return torch.randn(batch, *self.shape, generator=generator, dtype=dtype)


def find_input(module: nn.Module, label: str, given: tuple[int, ...] | None = None) -> InputShape:
    """Try inputs on a module in evaluation mode until one runs.

    Args:
        module: The network, on the CPU.
        label: What to call it in messages.
        given: Shape of one input without the batch; then only the kind of values (floating, ids) is found.

    Raises:
        SourceError: None of the shapes runs; the message quotes the first failure.
    """
    candidates = list(_candidates(module))
    if given is not None:
        ids = [c.vocabulary for c in candidates if c.vocabulary is not None][:1]
        candidates = [InputShape(given), *(InputShape(given, vocabulary) for vocabulary in ids)]
    first_failure: Exception | None = None
    for candidate in candidates:
        sample = candidate.sample(2, torch.Generator().manual_seed(0), torch.float32)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=()):
                module(sample)
        except Exception as error:
            first_failure = first_failure or error
        else:
            return candidate
    tried = (
        ", ".join(f"({', '.join(map(str, c.shape))})" for c in candidates[:4]) or "nothing: it has no layer to go by"
    )
    reason = f"; the first fails: {describe(first_failure)}" if first_failure else ""
    raise SourceError(
        f"{label}: no input runs (tried {tried}{', ...' if len(candidates) > 4 else ''}{reason}); "
        "return (module, example_input), or pass --input-shape"
    )


def _candidates(module: nn.Module) -> Iterator[InputShape]:
    """Inputs for the first layer of each kind, in the order in which they are defined."""
    seen: set[type] = set()
    for layer in module.modules():
        if type(layer) in seen:
            continue
        seen.add(type(layer))
        if isinstance(layer, nn.Embedding):
            yield from (InputShape((length,), layer.num_embeddings) for length in (16, 8, 64))
        elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            yield from _images(layer.in_channels, len(layer.kernel_size))
        elif isinstance(layer, nn.RNNBase):
            yield InputShape((16, layer.input_size))
        elif isinstance(layer, nn.Linear):
            yield from (InputShape((layer.in_features,)), InputShape((16, layer.in_features)))
    # Layers that the user wrote: only the shape of their first matrix or kernel tells.
    first = next((parameter for parameter in module.parameters() if parameter.ndim >= 2), None)
    if first is not None and first.ndim == 2:
        yield from (InputShape((first.shape[1],)), InputShape((first.shape[0],)))
    elif first is not None and first.ndim <= 5:
        yield from _images(first.shape[1], first.ndim - 2)


def _images(channels: int, dimensions: int) -> Iterator[InputShape]:
    if dimensions == 1:
        yield from (InputShape((channels, length)) for length in _LENGTHS)
    elif dimensions == 2:
        yield from (InputShape((channels, side, side)) for side in _SIDES)
    else:
        yield from (InputShape((channels, 16, side, side)) for side in (32, 64, 112, 224))
