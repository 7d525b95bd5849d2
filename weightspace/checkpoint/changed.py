"""A checkpoint with some tensors that are changed as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from typing_extensions import override

from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.checkpoint.reader import Reader, TensorInfo


def changed(
    checkpoint: Checkpoint,
    change: Callable[[str, torch.Tensor], torch.Tensor],
    shapes: Mapping[str, tuple[int, ...]],
) -> Checkpoint:
    """The same checkpoint, of the same files, with other tensors in it.

    Args:
        checkpoint: What is read.
        change: What becomes of a tensor, given its name; its type stays.
        shapes: The shapes of those that get another one.
    """
    reader = _Changed(checkpoint, change, shapes)
    names = {name: name for name in checkpoint}
    return Checkpoint(checkpoint.path, reader, names, notes=checkpoint.notes, config_path=checkpoint.config_path)


class _Changed(Reader):
    def __init__(
        self,
        checkpoint: Checkpoint,
        change: Callable[[str, torch.Tensor], torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.format, self.files = checkpoint.format, checkpoint.files
        self._checkpoint, self._change, self._shapes = checkpoint, change, shapes

    @override
    def names(self) -> tuple[str, ...]:
        return tuple(self._checkpoint)

    @override
    def info(self, name: str) -> TensorInfo:
        info = self._checkpoint.info(name)
        return replace(info, shape=self._shapes[name]) if name in self._shapes else info

    @override
    def read(self, name: str) -> torch.Tensor:
        return self._change(name, self._checkpoint[name])

    @override
    def aliases(self) -> dict[str, str]:
        return self._checkpoint.aliases()
