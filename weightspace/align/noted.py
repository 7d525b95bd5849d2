"""Files of permutations with a note: safetensors with one JSON document in their metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from weightspace.atomic import explain_os_errors, new_files
from weightspace.errors import AlignmentError, SpecError
from weightspace.symmetry import Element, Spec

UNREADABLE = (OSError, SafetensorError, LookupError, TypeError, ValueError)
"""What reading a file may raise, and finding the parts of its note."""


def write_noted(path: Path, key: str, note: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors with a note, atomically.

    Raises:
        OutputError: If the folder or the disk refuses.
    """
    own = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}  # none shared
    with new_files(path) as (temporary,), explain_os_errors(path):
        temporary.write_bytes(save(own, metadata={key: json.dumps(note)}))


def read_noted(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The note and the tensors of a file; raises any of `UNREADABLE` if it is none that `write_noted` made."""
    with safe_open(path, framework="pt") as file:
        note = json.loads((file.metadata() or {})[key])
        return note, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def element_read(path: Path, spec: Spec, perms: Mapping[str, Tensor]) -> Element:
    """The group element of permutations that an alignment's file holds.

    Raises:
        AlignmentError: If they are none of the spec.
    """
    try:
        return Element(spec.all_groups, perms)
    except SpecError as error:
        raise AlignmentError(f"{path}: the alignment is damaged ({error}); align again") from error
