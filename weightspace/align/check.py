"""Checks of what is to be aligned, before any work."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import AlignmentError, CheckpointMismatchError
from weightspace.symmetry import Spec
from weightspace.symmetry.freedom import KINDS


def check_state(state: Mapping[str, Tensor], spec: Spec, which: str) -> None:
    """Checks that a checkpoint is of the network of a spec.

    Args:
        state: Its weights; read one by one.
        spec: The symmetry of the network.
        which: What to call the checkpoint in a message.

    Raises:
        CheckpointMismatchError: A tensor of the spec is missing or has another shape.
        AlignmentError: A tensor holds NaN or infinity.
    """
    for name, tensor in spec.tensors.items():
        if name not in state:
            raise CheckpointMismatchError(
                f"tensor '{name}': expected in checkpoint {which}, found missing; check --arch"
            )
        found = state[name]  # a checkpoint reads the tensor anew every time
        if tuple(found.shape) != tensor.shape:
            raise CheckpointMismatchError(
                f"tensor '{name}' of {which}: expected shape {tensor.shape}, found {tuple(found.shape)}; "
                "all checkpoints must be of the architecture of the spec"
            )
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise AlignmentError(f"tensor '{name}' of {which}: expected finite values, found NaN or infinity")


def check_restarts(restarts: int) -> None:
    """Checks the number of starts of a search.

    Raises:
        AlignmentError: Less than one.
    """
    if restarts < 1:
        raise AlignmentError(f"restarts: expected at least 1, found {restarts}")


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds of freedoms beside permutations that were asked for.

    Raises:
        AlignmentError: One is not known, or permutations are not among them.
    """
    known = ("permutation", *KINDS)
    for kind in kinds:
        if kind not in known:
            (nearest,) = difflib.get_close_matches(kind, known, n=1, cutoff=0.0)
            raise AlignmentError(f"kind '{kind}': expected some of {', '.join(known)}; did you mean '{nearest}'?")
    if "permutation" not in kinds:
        raise AlignmentError(f"kinds: expected permutation among them, found {', '.join(kinds) or 'none'}; add it")
    return tuple(kind for kind in KINDS if kind in kinds)
