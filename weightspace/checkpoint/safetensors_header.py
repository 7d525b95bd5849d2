"""The header of a safetensors file, checked against the file before any tensor is read.

The format: eight bytes with the length of the header (little-endian), the header (JSON: names to type, shape and byte
range; strings under `__metadata__`), then the tensors without gaps.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from weightspace.checkpoint.identify import HEADER_LIMIT
from weightspace.checkpoint.reader import TensorInfo
from weightspace.errors import CheckpointFormatError

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


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        tensors: Shape and type by name, in the order of the data.
        offsets: Where the data of each tensor begin, in bytes from the start of the file.
        metadata: The strings under `__metadata__`.
    """

    tensors: dict[str, TensorInfo]
    offsets: dict[str, int]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file.

    Raises:
        CheckpointFormatError: If the file is shorter or longer than its header says, the header is not what the
            format asks for, or a type is one that torch does not hold.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(size - 8, HEADER_LIMIT):
            raise damaged(path, f"found a header of {length} bytes announced in a file of {size}")
        raw = file.read(length)
    try:
        entries = json.loads(raw, object_pairs_hook=_no_repetition)
        metadata = entries.pop("__metadata__", {})
        ranges = sorted((*_byte_range(entry), name) for name, entry in entries.items())
        infos = {name: _tensor_info(path, name, entries[name]) for _, _, name in ranges}
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise damaged(path, "found a header that is not what the format asks for") from error
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(path, "found metadata in its header that are not strings")
    position = 0
    for begin, end, name in ranges:
        info = infos[name]
        if begin != position or end - begin != math.prod(info.shape) * info.dtype.itemsize:
            raise damaged(
                path, f"found bytes {begin} to {end} for tensor {name!r}, which do not fit its shape or its place"
            )
        position = end
    if size != 8 + length + position:
        raise damaged(path, f"found {size} bytes where its header describes {8 + length + position}")
    return Header(infos, {name: 8 + length + begin for begin, _, name in ranges}, metadata)


def damaged(path: Path, found: str) -> CheckpointFormatError:
    """The refusal of a file that breaks the format."""
    return CheckpointFormatError(
        f"{path}: expected a complete safetensors file, {found}; it is truncated or damaged: download or save it again"
    )


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name comes twice")
    return entries


def _byte_range(entry: dict[str, Any]) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    if not _is_natural(begin) or not _is_natural(end):
        raise ValueError("offsets are not natural numbers")
    return begin, end


def _tensor_info(path: Path, name: str, entry: dict[str, Any]) -> TensorInfo:
    shape = tuple(entry["shape"])
    if not all(_is_natural(extent) for extent in shape) or not isinstance(entry["dtype"], str):
        raise ValueError("a shape is not made of natural numbers, or a type is no name")
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise CheckpointFormatError(
            f"{path}: tensor {name!r}: expected a type that torch has, found {entry['dtype'][:20]!r}; convert it first"
        )
    return TensorInfo(shape, dtype)


def _is_natural(value: object) -> bool:
    return type(value) is int and value >= 0
