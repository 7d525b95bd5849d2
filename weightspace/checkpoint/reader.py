"""What every file format offers: names as stored, shapes and types from the header, one tensor at a time."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of a stored tensor, known without reading its data."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Size of its data."""
        return math.prod(self.shape) * self.dtype.itemsize


class Reader(ABC):
    """An opened file, or a set of shards.

    Attributes:
        format: What the file is, for people: `"safetensors"`, `"PyTorch zip"`, `"PyTorch legacy"`, ...
        files: Every file that belongs to the checkpoint, in a fixed order.
        notes: What was passed over or chosen while opening, one line each.
    """

    format: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names as stored, tied names included, in file order."""

    @abstractmethod
    def info(self, name: str) -> TensorInfo:
        """Shape and type of a tensor, without reading its data."""

    @abstractmethod
    def read(self, name: str) -> torch.Tensor:
        """One tensor, on the CPU."""

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of a flattened tensor, in memory of their own where the format allows that."""
        return self.read(name).reshape(-1)[start:stop]

    @abstractmethod
    def aliases(self) -> dict[str, str]:
        """Tied names: each further name of a tensor -> its first name."""
