"""All merge methods, by name."""

from __future__ import annotations

import difflib

from weightspace.errors import MergeError
from weightspace.merge.methods.linear import LINEAR
from weightspace.merge.methods.method import MergeMethod

MERGE_METHODS: dict[str, MergeMethod] = {method.name: method for method in (LINEAR,)}


def known_merge_method(name: str) -> MergeMethod:
    """The method of a name.

    Raises:
        MergeError: There is none; with the nearest name.
    """
    if name in MERGE_METHODS:
        return MERGE_METHODS[name]
    near = difflib.get_close_matches(name, MERGE_METHODS, n=1, cutoff=0.0)
    raise MergeError(f"method '{name}': expected one of {', '.join(MERGE_METHODS)}; did you mean '{near[0]}'?")
