"""Outputs on their way, hidden beside the places that they go to: one folder for every target and task."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from dataclasses import dataclass
from pathlib import Path

from weightspace.errors import OutputError

_SUFFIX = ".unfinished"
JOURNAL = "journal"
_DIGITS = 16  # of a key


@dataclass(frozen=True)
class Leftover:
    """An unfinished output.

    Attributes:
        folder: Where it lies.
        nbytes: What it takes on the disk.
    """

    folder: Path
    nbytes: int


def folder_of(target: Path, key: str) -> Path:
    """Where an output is made that goes to `target`, resolved; another key is another output."""
    return target.with_name(f".{target.name[:100]}.{key[:_DIGITS]}{_SUFFIX}")


def leftovers(target: Path, key: str) -> list[Leftover]:
    """Unfinished outputs of other keys for the same target."""
    return [Leftover(folder, taken_by(folder)) for folder in _beside(folder_of(target.resolve(), key))]


def taken_by(folder: Path) -> int:
    """Bytes that the files of a folder take on the disk."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_blocks * 512
    return total


def locked_journal(target: Path, folder: Path) -> int:
    """The journal of an output as an open file, for this process alone until it is closed.

    Raises:
        OutputError: Another process writes this output, or another one to the same target.
        OSError: The disk or the folder refuses.
    """
    for other in _beside(folder):
        with contextlib.suppress(FileNotFoundError), (other / JOURNAL).open() as file:
            _lock(target, file.fileno())
    journal = os.open(folder / JOURNAL, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        _lock(target, journal)
        if not (folder / JOURNAL).exists():  # the other has finished between the last two lines
            raise _taken(target)
    except BaseException:
        os.close(journal)
        raise
    return journal


def _beside(folder: Path) -> list[Path]:
    """Folders of the same target and other keys."""
    start = folder.name.removesuffix(_SUFFIX)[: -len(".") - _DIGITS]
    pattern = f"{glob.escape(start)}.{'[0-9a-f]' * _DIGITS}{_SUFFIX}"
    return sorted(other for other in folder.parent.glob(pattern) if other != folder)


def _lock(target: Path, journal: int) -> None:
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(target) from None


def _taken(target: Path) -> OutputError:
    return OutputError(
        f"{target}: expected to be the only one that writes it, found another process at the same; wait for it"
    )
