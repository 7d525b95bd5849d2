"""Views of networks: the same functions, their units in another order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.symmetry import Spec


def random_view(spec: Spec, tensors: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Applies a random symmetry of its own to every network of a batch.

    Args:
        spec: The symmetry of the networks.
        tensors: By name (networks, *shape); names that the spec does not know pass through unchanged.
        generator: Draws the symmetries.

    Returns:
        By name (networks, *shape), in the same order.

    Raises:
        SpecError: A tensor has another shape than the spec says.
    """
    networks = len(next(iter(tensors.values())))
    moved = [
        spec.apply(spec.random_element(generator), {name: tensor[place] for name, tensor in tensors.items()})
        for place in range(networks)
    ]
    return {name: torch.stack([network[name] for network in moved]) for name in tensors}
