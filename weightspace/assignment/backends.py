"""Which solver answers."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

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
        raise AlignmentError("assignment: the backend numba is not installed: pip install 'weightspace[fast]'")
    return name


@cache
def has_numba() -> bool:
    """Whether the compiled solver can be used here."""
    return find_spec("numba") is not None
