"""Check files that a command will write, apart from weights, before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from weightspace.errors import OutputError


def check_file(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse a file that is an input or inside one, that is a folder, or whose folder is missing or not writable.

    Raises:
        OutputError: Naming the file and what to do.
    """
    resolved = path.resolve()
    for given in inputs:
        source = given.resolve()
        if (
            resolved == source
            or source in resolved.parents
            or (path.exists() and given.exists() and path.samefile(given))
        ):
            raise OutputError(
                f"{path}: expected an output apart from the inputs, found the input {given}; name another"
            )
    if resolved.is_dir():
        raise OutputError(f"{path}: expected a file to write, found a folder of that name; name another file")
    if not resolved.parent.is_dir():
        raise OutputError(f"{path}: expected to write into {resolved.parent}, found no such folder; create it first")
    if not os.access(resolved.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: expected to write into {resolved.parent}, found it not writable; choose another folder"
        )
