"""From what the user typed, a file or a folder, to the file that holds the weights or lists its shards."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from weightspace.errors import CheckpointFormatError

INDEX_SUFFIX = ".index.json"

# What a folder is searched for, first match wins (transformers' names).
_STANDARD = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SUFFIXES = {".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt"}
_TRAINING_STATE = re.compile(r"^(optimizer|scheduler|scaler|rng_state.*|training_args|trainer_state)\.")
_SHARD = re.compile(r"-\d+-of-\d+\.[a-z]+$")


@dataclass(frozen=True)
class Location:
    """Where a checkpoint lies.

    Attributes:
        weights: The file with the weights, or the index of its shards.
        config: The `config.json` beside it, for the weights of a transformers folder.
        notes: What a user should know about the choice.
    """

    weights: Path
    config: Path | None
    notes: tuple[str, ...] = ()


def locate(path: Path) -> Location:
    """Find the weights that `path` means.

    Raises:
        CheckpointFormatError: If there is no such path (suggesting the nearest name), or a folder holds no checkpoint
            or several.
    """
    if path.is_dir():
        weights = _in_folder(path)
        return Location(weights, _config_beside(weights))
    if path.is_file():
        standard = path.name in _STANDARD or _SHARD.search(path.name) is not None
        return Location(path, _config_beside(path) if standard else None, _note_shard(path))
    if path.exists():
        raise CheckpointFormatError(f"{path}: expected a file or a folder, found neither (a device or a pipe); copy it")
    raise CheckpointFormatError(_missing(path))


def _in_folder(folder: Path) -> Path:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointFormatError(f"{folder}: cannot be read: {error.strerror}; check its permissions") from error
    names = [entry.name for entry in entries if entry.is_file()]
    for name in _STANDARD:
        if name in names:
            return folder / name
    indices = [name for name in names if name.endswith(INDEX_SUFFIX)]
    found = indices or [name for name in names if Path(name).suffix in _SUFFIXES and not _TRAINING_STATE.match(name)]
    if len(found) == 1:
        return folder / found[0]
    if found:
        shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise CheckpointFormatError(
            f"{folder}: expected one checkpoint in the folder, found {len(found)}: {shown}; name the file"
        )
    if ".metadata" in names:
        raise CheckpointFormatError(
            f"{folder}: expected one checkpoint in the folder, found a torch.distributed checkpoint; convert it with "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pt"
        )
    shown = ", ".join(entry.name + "/" * entry.is_dir() for entry in entries[:3]) + (
        ", ..." if len(entries) > 3 else ""
    )
    raise CheckpointFormatError(
        f"{folder}: expected a checkpoint in the folder (model.safetensors, pytorch_model.bin, an index of shards, or "
        f"one {', '.join(sorted(_SUFFIXES))} file), found {f'only {shown}' if entries else 'it empty'}; name the file"
    )


def _config_beside(weights: Path) -> Path | None:
    config = weights.with_name("config.json")
    return config if config.is_file() else None


def _note_shard(path: Path) -> tuple[str, ...]:
    if _SHARD.search(path.name) is None:
        return ()
    indices = [index.name for index in path.parent.glob(f"*{INDEX_SUFFIX}")]
    return (f"this is one shard of {indices[0]}; open that, or the folder, for the whole",) if indices else ()


def _missing(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"{path}: expected a checkpoint, found no such folder as {parent}; name a file or folder on this machine"
    near = difflib.get_close_matches(path.name, [entry.name for entry in parent.iterdir()], n=1)
    advice = f"did you mean {parent / near[0]}?" if near else f"look in {parent}"
    return f"{path}: expected a checkpoint, found no such file; {advice}"
