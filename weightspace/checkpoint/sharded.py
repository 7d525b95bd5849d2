"""Read a checkpoint that is split into shards by an index (`*.index.json`, as transformers writes it)."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from weightspace.checkpoint.reader import Reader, TensorInfo
from weightspace.errors import CheckpointFormatError


class ShardedReader(Reader):
    """Shards that together hold one state dict."""

    def __init__(self, index: Path, open_shard: Callable[[Path], Reader]) -> None:
        """Open every shard's header.

        Args:
            index: The index file; its shards lie beside it.
            open_shard: Opens one shard.

        Raises:
            CheckpointFormatError: If the index is damaged, names a shard that is not there or lies elsewhere, or does
                not agree with the shards.
        """
        weight_map = _read_weight_map(index)
        shards = {name: index.parent / name for name in sorted(set(weight_map.values()))}
        for shard in shards.values():
            if not shard.is_file():
                raise CheckpointFormatError(
                    f"{index}: expected the shard {shard.name!r} beside it, found none; download the missing shard"
                )
        readers = {name: open_shard(path) for name, path in shards.items()}
        self._owner: dict[str, Reader] = {}
        for reader in readers.values():
            for name in reader.names():
                if name in self._owner:
                    both = f"{self._owner[name].files[0].name!r} and {reader.files[0].name!r}"
                    raise CheckpointFormatError(
                        f"{index}: expected tensor {name!r} in one shard, found it in {both}; "
                        "remove the shards of another checkpoint, or save it again"
                    )
                self._owner[name] = reader
        for name, shard in weight_map.items():
            if self._owner.get(name) is not readers[shard]:
                raise CheckpointFormatError(
                    f"{index}: expected tensor {name!r} in {shard!r}, found no such tensor there; "
                    "index and shards are from different checkpoints: download both again"
                )
        self._readers = tuple(readers.values())
        self.format = f"{self._readers[0].format}, {len(readers)} shards"
        self.files = (index, *shards.values())
        self.notes = tuple(dict.fromkeys(note for reader in self._readers for note in reader.notes))

    def names(self) -> tuple[str, ...]:
        """Names, shard by shard."""
        return tuple(self._owner)

    def info(self, name: str) -> TensorInfo:
        """Shape and type from the shard's header."""
        return self._owner[name].info(name)

    def read(self, name: str) -> torch.Tensor:
        """One tensor from its shard."""
        return self._owner[name].read(name)

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of one tensor, from its shard."""
        return self._owner[name].piece(name, start, stop)

    def aliases(self) -> dict[str, str]:
        """Ties within the shards; none can cross them."""
        return {alias: name for reader in self._readers for alias, name in reader.aliases().items()}


def _read_weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
    except OSError as error:
        raise CheckpointFormatError(f"{index}: cannot be read: {error.strerror}; check its permissions") from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointFormatError(
            f"{index}: expected the JSON index of a sharded checkpoint, found no 'weight_map' in it; download it again"
        ) from error
    fits = isinstance(weight_map, dict) and weight_map and all(isinstance(shard, str) for shard in weight_map.values())
    if not fits:
        raise CheckpointFormatError(
            f"{index}: expected a 'weight_map' from tensor names to file names, found another value; download it again"
        )
    for name, shard in weight_map.items():
        # A shard's name comes from a file that anyone may have written: it never leads out of the folder.
        if shard in {"", ".", ".."} or "/" in shard or "\\" in shard or "\0" in shard:
            raise CheckpointFormatError(
                f"{index}: expected a file name beside the index for tensor {name!r}, found {shard!r}; "
                "do not use this checkpoint unless you trust where it came from"
            )
    return weight_map
