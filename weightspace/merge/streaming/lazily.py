"""Tensors that are made when asked for, such as those of an aligned model, as a model that is read by pieces."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from weightspace.checkpoint import TensorInfo


class Lazily:
    """A mapping that makes whole tensors; each thread holds the last one."""

    def __init__(
        self, tensors: Mapping[str, Tensor], infos: Mapping[str, TensorInfo], aliases: Mapping[str, str]
    ) -> None:
        """Wraps a mapping.

        Args:
            tensors: Whole tensors by name.
            infos: Shape and type of each.
            aliases: Tied names: each further name of a tensor -> its first name.
        """
        self._tensors, self._infos, self._aliases = tensors, infos, dict(aliases)
        self._last = threading.local()

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __contains__(self, name: object, /) -> bool:
        return name in self._infos

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a tensor."""
        return self._infos[name]

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of a flattened tensor."""
        if getattr(self._last, "name", None) != name:
            self._last.name, self._last.tensor = name, self._tensors[name].reshape(-1)
        return self._last.tensor[start:stop]

    def aliases(self) -> dict[str, str]:
        """Tied names: each further name of a tensor -> its first name."""
        return dict(self._aliases)
