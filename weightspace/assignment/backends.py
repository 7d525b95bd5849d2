"""Which solver answers."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from torch import Tensor

from weightspace.errors import AlignmentError

BACKENDS = ("auto", "numba", "scipy", "auction")
NEEDS_NUMBA = ("numba", "auction")
AUCTION = 2048  # from this size on, scores on a GPU stay there


def choose(name: str, scores: Tensor) -> str:
    """The backend behind a name: itself, or for "auto" the fastest for these scores of those that can be used.

    Raises:
        AlignmentError: If there is no such backend, or it cannot be used here.
    """
    if name not in BACKENDS:
        raise AlignmentError(f"assignment: no backend {name!r}; there are {', '.join(BACKENDS)}")
    if name == "auto":
        if not has_numba():
            return "scipy"
        return "auction" if scores.device.type == "cuda" and max(scores.shape[-2:]) >= AUCTION else "numba"
    if name in NEEDS_NUMBA and not has_numba():
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
