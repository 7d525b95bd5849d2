"""Names of groups."""

from __future__ import annotations

from collections.abc import Mapping

from weightspace.symmetry.label import Atom


def extend_names(names: Mapping[Atom, str], first: Mapping[Atom, str]) -> dict[Atom, str]:
    """Names groups after the first tensor that carries them, without its last word, numbered where shared.

    Args:
        names: Names that are given already.
        first: For every group the first tensor that carries it.
    """
    result = dict(names)
    used = set(result.values())
    for atom, tensor in first.items():
        if atom in result:
            continue
        stem = tensor.removesuffix(".weight").removesuffix(".bias")
        number = 2
        name = stem
        while name in used:
            name, number = f"{stem}#{number}", number + 1
        used.add(name)
        result[atom] = name
    return result
