"""Read a safetensors file: the header alone for names and shapes, memory-mapped tensors one by one."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from weightspace.checkpoint.identify import HEADER_LIMIT
from weightspace.checkpoint.reader import Reader, TensorInfo
from weightspace.errors import CheckpointFormatError

# Keys of a safetensors file's metadata that weightspace writes.
ALIASES_KEY = "wsp.aliases"
ORDER_KEY = "wsp.order"
PROVENANCE_KEY = "wsp.provenance"

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


class SafetensorsReader(Reader):
    """A safetensors file. Only its header is read until a tensor is asked for."""

    format = "safetensors"

    def __init__(self, path: Path) -> None:
        """Open `path` and check its header.

        Raises:
            CheckpointFormatError: If the file is truncated, or its header does not describe its content.
        """
        self.path = path
        self.files = (path,)
        header = _read_header(path)
        try:
            self._file: Any = safe_open(str(path), framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise _damaged(path, f"found one that safetensors rejects ({_one_line(error)})") from error
        metadata = header.pop("__metadata__", {})
        ordered = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        self._infos = {name: _tensor_info(path, name, entry) for name, entry in ordered}
        self._aliases = _read_aliases(path, metadata, self._infos)
        self._names = _read_order(path, metadata, (*self._infos, *self._aliases))

    def names(self) -> tuple[str, ...]:
        """Names in the order in which weightspace wrote them, else in the order of their data."""
        return self._names

    def info(self, name: str) -> TensorInfo:
        """Shape and type from the header."""
        return self._infos[self._aliases.get(name, name)]

    def read(self, name: str) -> torch.Tensor:
        """One tensor, mapped from the file."""
        return self._file.get_tensor(self._aliases.get(name, name))

    def aliases(self) -> dict[str, str]:
        """The ties that weightspace recorded when it wrote the file; the format itself has none."""
        return dict(self._aliases)


def _read_header(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > size - 8 or length > HEADER_LIMIT:
            raise _damaged(path, f"found a header of {length} bytes announced in a file of {size}")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        complete = 8 + length + end
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise _damaged(path, "found a header that is not the JSON it should be") from error
    if size != complete:
        raise _damaged(path, f"found {size} bytes where the header describes {complete}")
    return header


def _tensor_info(path: Path, name: str, entry: dict[str, Any]) -> TensorInfo:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise CheckpointFormatError(
            f"{path}: tensor {name!r}: expected a type that torch holds, found {entry['dtype']}; convert it first"
        )
    return TensorInfo(tuple(entry["shape"]), dtype)


def _read_aliases(path: Path, metadata: dict[str, str], stored: dict[str, TensorInfo]) -> dict[str, str]:
    aliases = _json_metadata(path, metadata, ALIASES_KEY, {})
    fits = isinstance(aliases, dict) and all(
        isinstance(target, str) and target in stored and alias not in stored for alias, target in aliases.items()
    )
    if not fits:
        raise _damaged(path, f"found tied names under {ALIASES_KEY!r} in its metadata that do not fit its tensors")
    return aliases


def _read_order(path: Path, metadata: dict[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    order = _json_metadata(path, metadata, ORDER_KEY, list(names))
    fits = isinstance(order, list) and all(isinstance(name, str) for name in order) and sorted(order) == sorted(names)
    if not fits:
        raise _damaged(path, f"found an order under {ORDER_KEY!r} in its metadata that does not fit its tensors")
    return tuple(order)


def _json_metadata(path: Path, metadata: dict[str, str], key: str, default: object) -> Any:
    if key not in metadata:
        return default
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"found metadata under {key!r} that is not JSON") from error


def _damaged(path: Path, found: str) -> CheckpointFormatError:
    return CheckpointFormatError(
        f"{path}: expected a complete safetensors file, {found}; it is truncated or damaged: download or save it again"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
