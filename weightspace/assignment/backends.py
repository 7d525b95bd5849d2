"""Which solver answers."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from weightspace.errors import AlignmentError

BACKENDS = ("auto", "numba", "scipy")


def choose(name: str) -> str:
    """The backend behind a name: itself, or for "auto" the fastest that is installed.

    Raises:
        AlignmentError: If there is no such backend, or it is not installed.
    """
    if name not in BACKENDS:
        raise AlignmentError(f"assignment: no backend {name!r}; there are {', '.join(BACKENDS)}")
    if name == "auto":
        return "numba" if has_numba() else "scipy"
    if name == "numba" and not has_numba():
        raise AlignmentError("assignment: numba is absent or cannot be imported: pip install 'weightspace[fast]'")
    return name


@cache
def has_numba() -> bool:
    """Whether the compiled solver can be used here: numba is installed and takes the versions that it finds."""
    try:
        import_module("numba")
    except Exception:  # ImportError for a numpy that it does not know; whatever its own imports raise
        return False
    return True
