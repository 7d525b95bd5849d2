"""What a batch of networks must be: tensors by name, (networks, *shape), the same number of networks in each."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from weightspace.errors import SpecError


def networks_in(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many networks a batch holds.

    Args:
        tensors: The batch, by name (networks, *shape); further names are not looked at.
        shapes: The tensors that must be there, and their shapes in one network.

    Raises:
        SpecError: A tensor is missing, has another shape, or holds another number of networks than the first.
    """
    networks: int | None = None
    for name, shape in shapes.items():
        found = tensors.get(name)
        if found is None or found.dim() == 0 or tuple(found.shape[1:]) != shape:
            described = "none" if found is None else str(tuple(found.shape))
            raise SpecError(
                f"tensor '{name}': expected networks of shape {shape}, (networks, *shape), found {described}; stack "
                "networks of this spec"
            )
        networks = len(found) if networks is None else networks
        if len(found) != networks:
            raise SpecError(
                f"tensor '{name}': expected {networks} networks as in the tensors before it, found {len(found)}; stack "
                "the same networks for every tensor"
            )
    if networks is None:
        raise SpecError("expected a batch of at least one tensor, found none; give the tensors of the networks")
    return networks
