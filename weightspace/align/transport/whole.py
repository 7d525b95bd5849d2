"""Tensors that are taken over whole, although their size may differ along axes that stay in place."""

from __future__ import annotations

from torch import Tensor

from weightspace.errors import CheckpointMismatchError
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.action import axis_moves


def moved_whole(spec: Spec, element: Element, canonical: str, tensor: Tensor, called: str) -> Tensor:
    """A tensor under a group element, such as a classifier with other classes than that of the base.

    Args:
        spec: The symmetry of the base.
        element: The group element.
        canonical: Which tensor of the spec it stands for.
        tensor: Of the spec's size along the axes that the element moves.
        called: What messages call it.

    Raises:
        CheckpointMismatchError: If it does not fit.
    """
    moves = axis_moves(spec.blocks[canonical], element)
    sizes = [None if move is None else len(move) for move in moves or ()]
    if len(sizes) != tensor.dim() or any(s not in (None, found) for s, found in zip(sizes, tensor.shape, strict=True)):
        raise CheckpointMismatchError(
            f"{called}: expected shape {spec.tensors[canonical].shape}, or another size along axes that stay in place, "
            f"found {tuple(tensor.shape)}; give the bases that belong to it"
        )
    for axis, move in enumerate(moves or ()):
        if move is not None:
            tensor = tensor.index_select(axis, move.to(tensor.device))
    return tensor
