"""A checkpoint as a lazy mapping from names to tensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from weightspace.checkpoint.digest import files_sha256
from weightspace.checkpoint.reader import Reader, TensorInfo


class Checkpoint(Mapping[str, torch.Tensor]):
    """The tensors of a checkpoint, read one by one when they are asked for.

    Names are normalised (wrapper prefixes removed) and in file order; tied names are all there, see `aliases`. Tensors
    lie on the CPU with the type they were stored in. Where the format allows they are views of the mapped file
    (safetensors, PyTorch zip): a change in place stays in this process, never reaches the file, and is seen by the next
    reader of the same tensor, so clone before you change one.

    Made by `open_checkpoint`.

    Attributes:
        path: What was opened, as given.
        format: What it is, for people: `"safetensors"`, `"PyTorch zip"`, `"PyTorch legacy"`, `"safetensors, 3 shards"`.
        notes: What opening it chose, stripped or passed over, one line each.
        config_path: The `config.json` beside the weights of a transformers folder, else None.
        files: Every file that it was read from.
    """

    path: Path
    format: str
    notes: tuple[str, ...]
    config_path: Path | None
    files: tuple[Path, ...]

    def __init__(
        self,
        path: Path,
        reader: Reader,
        stored_names: Mapping[str, str],
        *,
        notes: tuple[str, ...] = (),
        config_path: Path | None = None,
    ) -> None:
        """Wrap a reader.

        Args:
            path: What was opened.
            reader: The opened file or files.
            stored_names: The name in the file of each normalised name, in order.
            notes: What opening it chose, stripped or passed over.
            config_path: The `config.json` beside it.
        """
        self.path = path
        self.format = reader.format
        self.files = reader.files
        self.notes = notes
        self.config_path = config_path
        self._reader = reader
        self._stored = dict(stored_names)
        normalised = {stored: name for name, stored in self._stored.items()}
        self._aliases = {normalised[alias]: normalised[first] for alias, first in reader.aliases().items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._reader.read(self._stored[name])

    def __contains__(self, name: object) -> bool:
        return name in self._stored  # without reading anything

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {self.format}, {len(self)} tensors)"

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a tensor, without reading its data.

        Raises:
            KeyError: If there is no such tensor.
        """
        return self._reader.info(self._stored[name])

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of a flattened tensor, from `start` on; of a safetensors file no others are read.

        Raises:
            KeyError: If there is no such tensor.
        """
        return self._reader.piece(self._stored[name], start, stop)

    def aliases(self) -> dict[str, str]:
        """Tied names: each further name of a tensor -> its first name."""
        return dict(self._aliases)

    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the file, as `sha256sum` prints it.

        Of a sharded checkpoint: that of the lines `DIGEST  NAME` of its files (index and shards), sorted by name.
        """
        return files_sha256(self.files)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name, of every type. Tied names hold the same tensor object."""
        read: dict[str, torch.Tensor] = {}
        for name in self:
            first = self._aliases.get(name, name)
            read[name] = read[first] if first in read else self[first]
            read.setdefault(first, read[name])
        return {name: read[name] for name in self}
