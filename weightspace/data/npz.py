"""NumPy archives with `x` and, for evaluation, `y`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from weightspace.data.examples import Examples, checked
from weightspace.errors import DataError

_UNREADABLE = (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path) -> Examples:
    """Read `x` and `y` of an archive; other arrays in it are left alone.

    Raises:
        DataError: Not an archive, `x` missing, an array of Python objects (a pickle, which is never loaded), or
            arrays that do not fit each other.
    """
    # numpy leaks the file that it opened itself when the archive is damaged.
    with _opened(path) as stream, _archive(path, stream) as archive:
        if "x" not in archive.files:
            raise DataError(
                f"{path}: expected arrays x and y, found {', '.join(archive.files) or 'none'}; rename the inputs to x"
            )
        x = _array(path, archive, "x")
        y = _array(path, archive, "y") if "y" in archive.files else None
    return checked(path, x, y)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found {error.strerror}; check it") from error


def _archive(path: Path, stream: BinaryIO) -> np.lib.npyio.NpzFile:
    try:
        archive = np.load(stream, allow_pickle=False)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: expected a .npz archive, found it unreadable ({_first(error)}); write it again with numpy.savez"
        ) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(
            f"{path}: expected a .npz archive with x and y, found a single array; write it with numpy.savez"
        )
    return archive


def _array(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        return archive[name]
    except _UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: expected a numeric array {name}, found pickled Python objects, which are never loaded; "
                "save it as uint8, float or integer"
            ) from error
        raise DataError(
            f"{path}: expected a readable array {name}, found a damaged one ({_first(error)}); "
            "copy or write the file again"
        ) from error


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
