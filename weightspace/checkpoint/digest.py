"""SHA-256 of a checkpoint's files, streamed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def files_sha256(files: Sequence[Path]) -> str:
    """Hash one file, or several together.

    Returns:
        Hexadecimal digest. Of one file: that of its bytes, as `sha256sum` prints it. Of several: that of the lines
        `DIGEST  NAME` of all files, sorted by name, so that the order and the place of the files do not matter.
    """
    if len(files) == 1:
        return _sha256(files[0])
    lines = [f"{_sha256(file)}  {file.name}\n" for file in sorted(files, key=lambda file: file.name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
