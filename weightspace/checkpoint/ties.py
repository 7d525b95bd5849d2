"""Tied tensors: several names for the same elements of the same storage."""

from collections.abc import Mapping

import torch

from weightspace.errors import OutputError


def find_ties(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Names that stand for the same view of the same storage.

    Args:
        tensors: Tensors held in memory (or mapped); storages are compared by address, so all must be alive.

    Returns:
        Each further name -> the first name of that view, in the order of `tensors`. Tensors without elements are never
        tied, and views that merely overlap are not ties.
    """
    first: dict[tuple[object, ...], str] = {}
    ties: dict[str, str] = {}
    for name, tensor in tensors.items():
        if tensor.numel() == 0 or tensor.is_meta:
            continue
        view = (tensor.data_ptr(), tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride())
        canonical = first.setdefault(view, name)
        if canonical != name:
            ties[name] = canonical
    return ties


def join_ties(declared: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Both sets of ties as one, in which no name that stands for another is itself an alias.

    Where the two choose different names for one tensor, the declared one is kept.

    Raises:
        OutputError: If the declared ties go round in a circle.
    """
    parent = {alias: name for alias, name in declared.items() if alias != name}
    for alias in parent:
        _root(parent, alias)
    for alias, name in found.items():
        a, b = _root(parent, alias), _root(parent, name)
        if a != b:
            # The name that others were declared to be tied to stays the one that is stored.
            keep, other = (a, b) if a in declared.values() else (b, a)
            parent[other] = keep
    return {alias: _root(parent, alias) for alias in parent}


def _root(parent: Mapping[str, str], name: str) -> str:
    start, steps = name, 0
    while name in parent:
        name, steps = parent[name], steps + 1
        if steps > len(parent):
            raise OutputError(
                f"tensor {start!r}: expected a tie to a tensor that is stored, found ties that go round in a circle; "
                "tie each name to the one that is stored"
            )
    return name
