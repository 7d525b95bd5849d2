"""Whole files or none: write under another name in the same folder, flush to the disk, then rename."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from weightspace.errors import OutputError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def new_files(*targets: Path) -> Iterator[list[Path]]:
    """Temporary paths that become `targets`, in order, when the block ends without an exception; else they are removed.

    The block creates every file itself. Links are followed, so a link stays a link.

    Raises:
        OutputError: If the disk or the folder refuses.
    """
    finals = [target.resolve() for target in targets]
    temporary = [_beside(final) for final in finals]
    try:
        yield temporary
        with explain_os_errors(targets[0]):
            for path in temporary:
                flush(path)
            for path, final in zip(temporary, finals, strict=True):
                path.replace(final)
            flush(finals[0].parent)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target`, whole, when the block ends without an exception; else it is removed.

    A folder that is already at `target` is moved aside, and removed last.

    Raises:
        OutputError: If the disk or the folder refuses.
    """
    final = target.resolve()
    temporary = _beside(final)
    try:
        with explain_os_errors(target):
            temporary.mkdir()
        yield temporary
        with explain_os_errors(target):
            for path in temporary.iterdir():
                flush(path)
            flush(temporary)
            exchange(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def explain_os_errors(target: Path) -> Iterator[None]:
    """Turn a refusal of the operating system, also one that safetensors reports, into one line about `target`."""
    try:
        yield
    except OSError as error:
        raise _refused(target, error.errno or 0) from error
    except SafetensorError as error:
        code = _OS_ERROR.search(str(error))
        if code is None:
            raise
        raise _refused(target, int(code.group(1))) from error


def exchange(temporary: Path, final: Path, aside: Path | None = None) -> None:
    """Moves a folder to its place; one that is there is moved aside, and removed last.

    Args:
        temporary: The folder.
        final: Its place.
        aside: Where the one that is there goes, for those that would look there after a kill; else anywhere beside it.

    Raises:
        OSError: The disk or the folder refuses; then the one that was there is back.
    """
    previous = aside or _beside(final)
    try:
        if final.exists():
            shutil.rmtree(previous, ignore_errors=True)  # of an earlier try
            final.replace(previous)
        try:
            temporary.replace(final)
        except OSError:
            if previous.exists():
                previous.replace(final)
            raise
        flush(final.parent)
    finally:
        if final.exists():
            shutil.rmtree(previous, ignore_errors=True)


def _beside(final: Path) -> Path:
    return final.with_name(f".{final.name[:100]}.{secrets.token_hex(4)}.tmp")


def flush(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(target: Path, code: int) -> OutputError:
    reason = os.strerror(code) if code else "the system refused"
    return OutputError(
        f"{target}: expected to write it, found: {reason}; nothing was written: free space, or choose another folder"
    )
