"""Refuse an output that would touch an input, or that cannot be written, before any work is done."""

import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from weightspace.checkpoint.companions import COMPANIONS
from weightspace.checkpoint.locate import INDEX_SUFFIX
from weightspace.errors import OutputError

WEIGHTS_SUFFIX = ".safetensors"
SIDECAR_SUFFIX = ".wsp.json"
FOLDER_PROVENANCE = "wsp.json"
CARD, RECIPE = "README.md", "recipe.yml"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_OTHER_WEIGHTS = {".pt", ".pth", ".th", ".bin", ".ckpt", ".pkl", ".gguf", ".onnx", ".h5", ".hdf5", ".npz", ".json"}


def is_single_file(path: Path) -> bool:
    """Whether weights for `path` go into one file; else `path` is a folder."""
    return path.suffix == WEIGHTS_SUFFIX


def sidecar_of(path: Path) -> Path:
    """The provenance file beside a single file of weights: `x.safetensors` -> `x.wsp.json`."""
    return path.with_suffix(SIDECAR_SUFFIX)


def check_output(path: str | PathLike[str], inputs: Iterable[str | PathLike[str]] = ()) -> None:
    """Check that weights may be written to `path`; `write_checkpoint` does the same, and a command can do it early.

    Args:
        path: A file ending in `.safetensors`, or a folder.
        inputs: Files and folders that are read. None may be overwritten, also not through a link.

    Raises:
        OutputError: If `path` is an input or inside one or around one, has another suffix, lies in a folder that does
            not exist or is not writable, or is a folder with files in it that weightspace did not write.
    """
    path = Path(path)
    if path.suffix in _OTHER_WEIGHTS:
        raise OutputError(
            f"{path}: expected a name ending in {WEIGHTS_SUFFIX}, or a folder, found {path.suffix!r}; weights are "
            f"written as safetensors: name {path.with_suffix(WEIGHTS_SUFFIX)}"
        )
    targets = [path, sidecar_of(path)] if is_single_file(path) else [path]
    for given in inputs:
        _check_apart(targets, Path(given))
    parent = path.resolve().parent
    if not parent.is_dir():
        raise OutputError(f"{path}: expected to write into {parent}, found no such folder; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: expected to write into {parent}, found it not writable; choose another folder")
    if is_single_file(path):
        if path.is_dir():
            raise OutputError(f"{path}: expected a file to write, found a folder of that name; name another file")
    elif path.exists():
        _check_replaceable(path)


def _check_apart(targets: Sequence[Path], given: Path) -> None:
    # An index stands for its shards, which lie beside it.
    source = given.parent if given.name.endswith(INDEX_SUFFIX) else given
    if not source.exists():
        return
    files = [entry for entry in source.iterdir() if entry.is_file()] if source.is_dir() else [source]
    for target in targets:
        resolved, inside = target.resolve(), source.resolve()
        same = target.exists() and any(target.samefile(file) for file in [source, *files])
        if same or resolved == inside:
            raise OutputError(
                f"{target}: expected an output apart from the inputs, found the input {given}; name another"
            )
        if source.is_dir() and inside in resolved.parents:
            raise OutputError(f"{target}: expected an output outside the input {given}, found it inside; name another")
        if resolved in inside.parents:
            raise OutputError(
                f"{target}: expected an output apart from the inputs, found the input {given} in it; name another"
            )


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(
            f"{folder}: expected a folder or a name ending in {WEIGHTS_SUFFIX}, found another file; name another output"
        )
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return
    foreign = [name for name in names if not _is_ours(name)]
    if FOLDER_PROVENANCE not in names or foreign:
        found = (foreign or names)[0]
        raise OutputError(
            f"{folder}: expected a new or empty folder, or one that wsp wrote, found {found!r} in it; name another"
        )


def _is_ours(name: str) -> bool:
    known = {
        FOLDER_PROVENANCE,
        CARD,
        RECIPE,
        ADAPTER_CONFIG,
        ADAPTER_WEIGHTS,
        "model.safetensors",
        "model.safetensors.index.json",
    }
    return name in known | set(COMPANIONS) or (name.startswith("model-") and name.endswith(WEIGHTS_SUFFIX))
