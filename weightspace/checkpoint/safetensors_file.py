"""Read a safetensors file: the header alone for names and shapes, memory-mapped tensors one by one."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from weightspace.checkpoint.reader import Reader, TensorInfo
from weightspace.checkpoint.safetensors_header import Header, damaged, read_header

# Keys of a safetensors file's metadata that weightspace writes.
ALIASES_KEY = "wsp.aliases"
ORDER_KEY = "wsp.order"
PROVENANCE_KEY = "wsp.provenance"


class SafetensorsReader(Reader):
    """A safetensors file. Only its header is read until a tensor is asked for."""

    format = "safetensors"

    def __init__(self, path: Path) -> None:
        """Read the header of `path`, and check it against the file.

        Raises:
            CheckpointFormatError: If the file is truncated, or its header does not describe its content.
        """
        self.files = (path,)
        self._path = path
        self._header = read_header(path)
        self._aliases = _read_aliases(path, self._header)
        self._names = _read_order(path, self._header, (*self._header.tensors, *self._aliases))
        self._mapped = _map(path)

    def names(self) -> tuple[str, ...]:
        """Names in the order in which weightspace wrote them, else in the order of their data."""
        return self._names

    def info(self, name: str) -> TensorInfo:
        """Shape and type from the header."""
        return self._header.tensors[self._aliases.get(name, name)]

    def read(self, name: str) -> torch.Tensor:
        """One tensor, mapped from the file."""
        name = self._aliases.get(name, name)
        if self._mapped is None:
            info = self._header.tensors[name]
            return self.piece(name, 0, math.prod(info.shape)).reshape(info.shape)
        return self._mapped.get_tensor(name)

    def piece(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some elements of a flattened tensor, read and not mapped: pages of mapped files stay in memory."""
        name = self._aliases.get(name, name)
        dtype = self._header.tensors[name].dtype
        content = torch.empty(stop - start, dtype=dtype)
        if not len(content):
            return content
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._header.offsets[name] + start * dtype.itemsize)
            view, done = content.view(torch.uint8).numpy().data, 0
            while done < len(view):
                count = file.readinto(view[done:])
                if not count:
                    raise damaged(self._path, f"found the end of the file inside tensor {name!r}")
                done += count
        return content

    def aliases(self) -> dict[str, str]:
        """The ties that weightspace recorded when it wrote the file; the format itself has none."""
        return dict(self._aliases)


def _map(path: Path) -> Any | None:
    """The mapped file, or None where Linux refuses to map a file that is larger than the machine's memory."""
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except SafetensorError as error:
        raise damaged(path, f"found one that safetensors rejects ({' '.join(str(error).split())})") from error
    except (OSError, RuntimeError):
        return None


def _read_aliases(path: Path, header: Header) -> dict[str, str]:
    aliases = _json_metadata(path, header, ALIASES_KEY, {})
    fits = isinstance(aliases, dict) and all(
        isinstance(target, str) and target in header.tensors and alias not in header.tensors
        for alias, target in aliases.items()
    )
    if not fits:
        raise damaged(path, f"found tied names under {ALIASES_KEY!r} in its metadata that do not fit its tensors")
    return aliases


def _read_order(path: Path, header: Header, names: tuple[str, ...]) -> tuple[str, ...]:
    order = _json_metadata(path, header, ORDER_KEY, list(names))
    fits = isinstance(order, list) and all(isinstance(name, str) for name in order) and sorted(order) == sorted(names)
    if not fits:
        raise damaged(path, f"found an order under {ORDER_KEY!r} in its metadata that does not fit its tensors")
    return tuple(order)


def _json_metadata(path: Path, header: Header, key: str, default: object) -> Any:
    if key not in header.metadata:
        return default
    try:
        return json.loads(header.metadata[key])
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"found metadata under {key!r} that is not JSON") from error
