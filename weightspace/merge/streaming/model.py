"""What merges read: tensors by name, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from weightspace.checkpoint import TensorInfo


class Model(Protocol):
    """A model whose tensors are read piece by piece; a `Checkpoint` is one."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object, /) -> bool: ...

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a tensor."""
        ...

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of a flattened tensor."""
        ...

    def aliases(self) -> dict[str, str]:
        """Tied names: each further name of a tensor -> its first name."""
        ...
