"""A piece of the tensors that are merged: methods see no more at once, so that none needs whole models in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Draw = Callable[["Chunk", int, Tensor], Tensor]


@dataclass(frozen=True)
class Chunk:
    """The same elements of a tensor in all models.

    Attributes:
        tensors: Of every model but the base, float32 or float64: (k,), or for methods that go by rows (rows, columns).
        base: Of the base model, likewise; None where there is none.
        number: Which chunk of the tensor this is; chunks are equally large but for the last.
        draw: Random masks, see `Chunk.mask`.
    """

    tensors: tuple[Tensor, ...]
    base: Tensor | None
    number: int
    draw: Draw

    @property
    def deltas(self) -> tuple[Tensor, ...]:
        """Task vectors: every model less the base."""
        assert self.base is not None
        return tuple(tensor - self.base for tensor in self.tensors)

    def mask(self, model: int, probabilities: Tensor) -> Tensor:
        """A random mask, bool, true with given probabilities, the same at every call.

        Args:
            model: For which model.
            probabilities: Of the shape of the chunk.
        """
        return self.draw(self, model, probabilities)


def drawing(seed: int, name: str) -> Draw:
    """Masks that depend on the seed, the name of the tensor, the model and the chunk, and on nothing else.

    A merge that is killed and goes on, or runs on more threads, draws the same ones.
    """

    def draw(chunk: Chunk, model: int, probabilities: Tensor) -> Tensor:
        digest = hashlib.sha256(f"{seed}/{model}/{chunk.number}/{name}".encode()).digest()
        # Raw numbers: they are the same in every version of numpy and torch, and soonest made.
        raw = np.random.SFC64(int.from_bytes(digest[:8], "little")).random_raw((probabilities.numel() + 1) // 2)
        uniform = (raw.view("<u4")[: probabilities.numel()] >> 8).astype(np.float32) * np.float32(2.0**-24)
        return torch.from_numpy(uniform < probabilities.reshape(-1).numpy()).reshape(probabilities.shape)

    return draw
