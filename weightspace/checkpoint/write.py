"""Write weights as safetensors: atomically, with their ties and where they come from."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file

from weightspace.atomic import explain_os_errors, new_files, new_folder
from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.checkpoint.guard import FOLDER_PROVENANCE, check_output, is_single_file, sidecar_of
from weightspace.checkpoint.layout import INDEX, index_text, shard_names
from weightspace.checkpoint.provenance import Provenance
from weightspace.checkpoint.safetensors_file import ALIASES_KEY, ORDER_KEY, PROVENANCE_KEY
from weightspace.checkpoint.shards import Shard, split
from weightspace.checkpoint.ties import find_ties, join_ties
from weightspace.errors import OutputError


def write_checkpoint(
    path: str | PathLike[str],
    tensors: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]],
    *,
    provenance: Provenance | None,
    aliases: Mapping[str, str] | None = None,
    max_shard_bytes: int | None = None,
    inputs: Sequence[str | PathLike[str]] = (),
    companions: Sequence[Path] = (),
    texts: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write weights, whole or not at all.

    A `path` ending in `.safetensors` becomes one file, with its provenance in its metadata and in `NAME.wsp.json`
    beside it. Any other `path` becomes a folder: `model.safetensors`, or shards with their index as transformers reads
    them, and `wsp.json`. Types are kept. Equal arguments give equal bytes.

    Args:
        path: Where to write. A file of weights, or a folder that `write_checkpoint` wrote, is replaced.
        tensors: Names and tensors, in the order to keep (an alias comes after its tensor); an iterable of pairs is
            consumed once, and no more than a shard of it is held at a time.
        provenance: What made the weights, or None.
        aliases: Tied names -> the name under which the tensor is stored. The ties of a `Checkpoint`, and of a dict of
            tensors that share memory, are found without it. `open_checkpoint` gives both names back.
        max_shard_bytes: Size of the tensors in one shard, for a folder; None for a single file in it.
        inputs: Files and folders that were read, none of which may be touched.
        companions: Files to copy beside the weights of a folder, see `companions_of`; a single file has none.
        texts: Further files beside the weights of a folder, by name; they take the places of companions.

    Returns:
        The files written, weights first.

    Raises:
        OutputError: If `path` is (in) an input, the folder or the disk refuses, a tied tensor differs from its other
            name, or a type cannot be stored.
    """
    path = Path(path)
    if max_shard_bytes is not None and (is_single_file(path) or max_shard_bytes < 1):
        found = f"the single file {path.name}" if is_single_file(path) else f"a limit of {max_shard_bytes} bytes"
        raise OutputError(f"{path}: expected a folder for shards of at least 1 byte, found {found}; name a folder")
    check_output(path, inputs)
    pairs, found = _pairs_and_ties(tensors)
    shards = split(pairs, join_ties(aliases or {}, found), max_shard_bytes)
    if is_single_file(path):
        return _write_file(path, next(shards, Shard()), provenance)
    return _write_folder(path, shards, provenance, companions, texts or {})


def _pairs_and_ties(
    tensors: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]],
) -> tuple[Iterable[tuple[str, torch.Tensor]], dict[str, str]]:
    if isinstance(tensors, Checkpoint):
        return tensors.items(), tensors.aliases()
    if isinstance(tensors, Mapping):
        # Of other mappings the tensors may be made on access, and then share addresses by accident.
        held = cast(Mapping[str, torch.Tensor], tensors)
        return held.items(), find_ties(held) if isinstance(held, dict) else {}
    return tensors, {}


def _write_file(path: Path, shard: Shard, provenance: Provenance | None) -> list[Path]:
    targets = [path] if provenance is None else [path, sidecar_of(path)]
    with new_files(*targets) as temporary, explain_os_errors(path):
        _save(temporary[0], shard, provenance)
        if provenance is not None:
            temporary[1].write_text(provenance.to_json(indent=2) + "\n", encoding="utf-8")
    return targets


def _write_folder(
    path: Path,
    shards: Iterable[Shard],
    provenance: Provenance | None,
    companions: Sequence[Path],
    texts: Mapping[str, str],
) -> list[Path]:
    with new_folder(path) as temporary:
        parts: list[tuple[Path, list[str]]] = []
        total = 0
        for shard in shards:
            part = temporary / f"part-{len(parts)}"
            with explain_os_errors(path):
                _save(part, shard, provenance)
            parts.append((part, list(shard.tensors)))
            total += shard.nbytes
        with explain_os_errors(path):
            names = _complete(temporary, parts, total, provenance)
            for companion in companions:
                shutil.copyfile(companion, temporary / companion.name)
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
            beside = dict.fromkeys([*(companion.name for companion in companions), *texts])
            return [path / name for name in (*names, *beside)]


def _complete(
    folder: Path, parts: list[tuple[Path, list[str]]], total: int, provenance: Provenance | None
) -> list[str]:
    """Give the parts their names, which need their number, and write the index and the provenance."""
    count = len(parts)
    names = shard_names(count)
    for (part, _), name in zip(parts, names, strict=True):
        part.rename(folder / name)
    if count > 1:
        weight_map = {tensor: name for (_, stored), name in zip(parts, names, strict=True) for tensor in stored}
        names.append(INDEX)
        (folder / INDEX).write_text(index_text(total, weight_map), encoding="utf-8")
    if provenance is not None:
        names.append(FOLDER_PROVENANCE)
        (folder / FOLDER_PROVENANCE).write_text(provenance.to_json(indent=2) + "\n", encoding="utf-8")
    return names


def _save(file: Path, shard: Shard, provenance: Provenance | None) -> None:
    metadata = {"format": "pt", ORDER_KEY: json.dumps(shard.order)}
    if shard.aliases:
        metadata[ALIASES_KEY] = json.dumps(shard.aliases)
    if provenance is not None:
        metadata[PROVENANCE_KEY] = provenance.to_json()
    # safetensors makes files that only their owner may read; these get the permissions of any new file.
    file.touch()
    permissions = file.stat().st_mode
    save_file(shard.tensors, str(file), metadata=metadata)
    file.chmod(permissions)
    _sort_metadata(file)


def _sort_metadata(file: Path) -> None:
    """Write the header's metadata in a fixed order; safetensors keeps it in a hash map, whose order is random."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        stream.seek(8)
        stream.write(text.ljust(length))
