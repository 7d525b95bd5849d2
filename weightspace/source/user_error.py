"""Say in one line where code that is not ours failed."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
_PACKAGE = str(Path(__file__).resolve().parents[1])


def describe(error: BaseException) -> str:
    """`FILE:LINE: Type: message` for the innermost place outside of installed libraries and of this package.

    Without such a place, as when a library alone is at fault, the place is left out.
    """
    message = f"{type(error).__name__}: {' '.join(str(error).split(chr(10), 1)[0].split())}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {message}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(("<", _PACKAGE, *_LIBRARIES)):
            return f"{frame.filename}:{frame.lineno}: {message}"
    return message
