"""What a state dict or checkpoint has too little, too much, or otherwise than a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weightspace.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.symmetry.spec import TensorSpec

COUNTER = "num_batches_tracked"
"""How names of counters of seen batches end, which files older than torch 0.4.1 lack and no function needs."""


def mismatches(
    state: Mapping[str, Any],
    own: Mapping[str, Tensor | TensorSpec],
    aliases: Mapping[str, str],
    ignores: Callable[[str], bool],
) -> list[str]:
    """Every difference in names and shapes, a line each; reads no data of a `Checkpoint`.

    Args:
        state: What is checked.
        own: The tensors of the network's state dict, or their axes.
        aliases: Names of tied tensors: alias -> canonical name; one of a tensor's names suffices.
        ignores: Names that a checkpoint may hold and that are of no use.
    """
    held = {aliases.get(name, name) for name in state}
    problems = [
        f"{name}: expected a tensor of shape {tuple(own[name].shape)}, found none"
        for name in own
        if aliases.get(name, name) not in held and not name.endswith(COUNTER)
    ]
    for name in state:
        if name in own:
            if _shape(state, name) != tuple(own[name].shape):
                problems.append(f"{name}: expected shape {tuple(own[name].shape)}, found {_shape(state, name)}")
        elif not ignores(name):
            problems.append(f"{name}: expected no such tensor, found one of shape {_shape(state, name)}")
    return problems


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...]:
    found = state.info(name) if isinstance(state, Checkpoint) else state[name]
    return tuple(found.shape)
