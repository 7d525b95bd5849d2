"""Where every tensor of a checkpoint will lie, known before any is written: files, headers, offsets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weightspace.checkpoint.reader import TensorInfo
from weightspace.checkpoint.safetensors_file import ALIASES_KEY, ORDER_KEY
from weightspace.checkpoint.safetensors_header import DTYPES
from weightspace.errors import OutputError

INDEX = "model.safetensors.index.json"
_CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Place:
    """Where the data of a tensor begin."""

    file: str
    offset: int
    info: TensorInfo


@dataclass(frozen=True)
class Layout:
    """The files of a checkpoint.

    Attributes:
        places: Where each stored tensor goes.
        headers: What each file begins with.
        sizes: Bytes of each file.
        index: The text of the index of several shards; None for one file.
    """

    places: Mapping[str, Place]
    headers: Mapping[str, bytes]
    sizes: Mapping[str, int]
    index: str | None

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def lay_out(
    infos: Mapping[str, TensorInfo],
    aliases: Mapping[str, str] | None = None,
    *,
    max_shard_bytes: int | None = None,
    single: str = "model.safetensors",
    metadata: Mapping[str, str] | None = None,
) -> Layout:
    """Plans the files of a checkpoint, as safetensors.

    Args:
        infos: Shape and type of every stored tensor, in their order.
        aliases: Further names of stored tensors.
        max_shard_bytes: Size of the tensors in one file; None for a single file.
        single: Name of a single file.
        metadata: Further strings for the header of every file.

    Raises:
        OutputError: A type cannot be stored, or there is no tensor.
    """
    shards = list(_shards(infos, max_shard_bytes))
    if not shards:
        raise OutputError("expected tensors to write, found none; give at least one")
    names = shard_names(len(shards), single)
    places: dict[str, Place] = {}
    headers, sizes = {}, {}
    for file, shard in zip(names, shards, strict=True):
        header, offsets = _header(shard, aliases or {}, metadata or {})
        headers[file] = header
        places |= {name: Place(file, len(header) + offset, shard[name]) for name, offset in offsets.items()}
        sizes[file] = len(header) + sum(info.nbytes for info in shard.values())
    index = None
    if len(shards) > 1:
        total = sum(info.nbytes for info in infos.values())
        index = index_text(total, {name: places[name].file for name in infos})
    return Layout(places, headers, sizes, index)


def shard_names(count: int, single: str = "model.safetensors") -> list[str]:
    """Names of so many files, as transformers has them; of a single one the name given."""
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)] if count > 1 else [single]


def index_text(total: int, weight_map: Mapping[str, str]) -> str:
    """The text of the index of several files.

    Args:
        total: Bytes of all tensors.
        weight_map: The file of each tensor.
    """
    return json.dumps({"metadata": {"total_size": total}, "weight_map": dict(weight_map)}, indent=2) + "\n"


def _shards(infos: Mapping[str, TensorInfo], most: int | None) -> Iterator[dict[str, TensorInfo]]:
    shard: dict[str, TensorInfo] = {}
    size = 0
    for name, info in infos.items():
        if info.dtype not in _CODES:
            raise OutputError(
                f"tensor {name!r}: expected a type that safetensors stores, found {info.dtype}; convert it first"
            )
        if most is not None and shard and size + info.nbytes > most:
            yield shard
            shard, size = {}, 0
        shard[name] = info
        size += info.nbytes
    if shard:
        yield shard


def _header(
    shard: Mapping[str, TensorInfo], aliases: Mapping[str, str], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """The header with its length before it, and where the data of each tensor begin after it."""
    own = {alias: name for alias, name in aliases.items() if name in shard}
    order = [each for name in shard for each in (name, *(alias for alias in own if own[alias] == name))]
    about = {"format": "pt", ORDER_KEY: json.dumps(order), **metadata}
    about |= {ALIASES_KEY: json.dumps(own)} if own else {}
    entries: dict[str, object] = {"__metadata__": dict(sorted(about.items()))}
    offsets: dict[str, int] = {}
    end = 0
    for name in sorted(shard, key=lambda name: -shard[name].dtype.itemsize):  # each is aligned to its own size
        info = shard[name]
        offsets[name], end = end, end + info.nbytes
        entries[name] = {
            "dtype": _CODES[info.dtype], "shape": list(info.shape), "data_offsets": [offsets[name], end],
        }  # fmt: skip
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(math.ceil(len(text) / 8) * 8)
    return len(text).to_bytes(8, "little") + text, offsets
