"""Low-rank adapters as PEFT stores them: a folder with `adapter_config.json` and the tensors beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from weightspace.atomic import explain_os_errors, new_folder
from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.checkpoint.guard import ADAPTER_CONFIG, ADAPTER_WEIGHTS, FOLDER_PROVENANCE, check_output
from weightspace.checkpoint.open import open_checkpoint
from weightspace.checkpoint.provenance import Provenance
from weightspace.errors import CheckpointFormatError, OutputError

_OLD_WEIGHTS = "adapter_model.bin"


@dataclass(frozen=True)
class Adapter:
    """An opened adapter.

    Attributes:
        path: The folder.
        config: What `adapter_config.json` says.
        tensors: By the names that PEFT gave them.
    """

    path: Path
    config: Mapping[str, Any]
    tensors: Checkpoint


def is_adapter(path: str | PathLike[str]) -> bool:
    """Whether a path is the folder of an adapter."""
    return (Path(path) / ADAPTER_CONFIG).is_file()


def open_adapter(path: str | PathLike[str]) -> Adapter:
    """Opens the folder of a LoRA adapter.

    Raises:
        CheckpointFormatError: If its configuration cannot be read or is not that of LoRA, or the tensors are missing.
        CheckpointError: If the tensors cannot be read.
    """
    folder = Path(path)
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointFormatError(
            f"{folder / ADAPTER_CONFIG}: expected a JSON document, found none ({error})"
        ) from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise CheckpointFormatError(f"{folder}: expected an adapter of type LORA, found {kind!r}; merge it first")
    weights = next((folder / name for name in (ADAPTER_WEIGHTS, _OLD_WEIGHTS) if (folder / name).is_file()), None)
    if weights is None:
        raise CheckpointFormatError(f"{folder}: expected {ADAPTER_WEIGHTS} in it, found none; complete the download")
    return Adapter(folder, config, open_checkpoint(weights))


def check_adapter_output(path: str | PathLike[str], inputs: Sequence[str | PathLike[str]] = ()) -> None:
    """Checks that an adapter may be written to `path`; `write_adapter` does the same, and a command can do it early.

    Raises:
        OutputError: If it is (in) an input, no name for a folder, or one with files in it that wsp did not write.
    """
    path = Path(path)
    check_output(path, inputs)
    if path.suffix:
        raise OutputError(f"{path}: expected a folder for an adapter, found the suffix {path.suffix!r}; name a folder")


def write_adapter(
    path: str | PathLike[str],
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    provenance: Provenance,
    inputs: Sequence[str | PathLike[str]] = (),
) -> None:
    """Writes an adapter as PEFT reads it, whole or not at all.

    Args:
        path: A folder; one that wsp wrote is replaced.
        tensors: By PEFT's names.
        config: For `adapter_config.json`.
        provenance: What made it.
        inputs: Files and folders that were read, none of which may be touched.

    Raises:
        OutputError: If `path` is (in) an input or no name for a folder, or the folder or the disk refuses.
    """
    path = Path(path)
    check_adapter_output(path, inputs)
    with new_folder(path) as temporary, explain_os_errors(path):
        stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(stored, temporary / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (temporary / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (temporary / FOLDER_PROVENANCE).write_text(provenance.to_json(indent=2) + "\n", encoding="utf-8")
