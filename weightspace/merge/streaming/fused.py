"""A model of a recipe that is a base with an adapter in it: fused tensor by tensor, when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weightspace.checkpoint import Adapter, Checkpoint, TensorInfo, open_adapter
from weightspace.checkpoint.guard import ADAPTER_CONFIG
from weightspace.merge.adapters import fuse, ties_of
from weightspace.merge.streaming.lazily import Lazily


@dataclass(frozen=True)
class FusedModel:
    """A base with an adapter in it.

    Attributes:
        adapter: The adapter.
        model: What is read.
        notes: What the user ought to know, one line each.
    """

    adapter: Adapter
    model: Lazily
    notes: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the adapter that the result depends on."""
        return (*self.adapter.tensors.files, self.adapter.path / ADAPTER_CONFIG)

    def hashes(self) -> Iterator[tuple[str, str]]:
        """SHA-256 of the adapter and of its configuration, by their paths."""
        config = self.adapter.path / ADAPTER_CONFIG
        yield str(self.adapter.path), self.adapter.tensors.sha256()
        yield str(config), hashlib.sha256(config.read_bytes()).hexdigest()


def fused_model(base: Checkpoint, path: Path) -> FusedModel:
    """Opens an adapter, to be fused into a base with the weight 1; of the base hardly more than headers are read.

    Raises:
        CheckpointError: The adapter cannot be read, is not understood, or does not fit the base.
    """
    adapter = open_adapter(path)
    ties, doubt = ties_of(base)
    fused = fuse(base, [adapter], ties=ties)
    infos = {name: base.info(name) for name in fused.tensors if name not in fused.brought}
    brought = {name: TensorInfo(shape, fused.tensors[name].dtype) for name, shape in fused.brought.items()}
    infos = {name: brought.get(name) or infos[name] for name in fused.tensors}
    return FusedModel(adapter, Lazily(fused.tensors, infos, base.aliases()), () if doubt is None else (doubt,))
