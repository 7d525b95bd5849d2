"""The weights of a merged network from those of its origins, once every unit has its home.

A tensor leads from the units that it reads to those that it makes: the first are summed over (every origin reads a copy
of the merged unit), over the second the mean is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.merge.homes import Homes

State = Mapping[str, Tensor]


def combine(homes: Homes, models: Sequence[State], reads: Mapping[str, frozenset[int]]) -> dict[str, Tensor]:
    """Merges aligned networks along their homes.

    Args:
        homes: Where the units go.
        models: Weights of the networks, aligned to each other.
        reads: The axes along which a tensor is summed over when it acts; along all others it makes units.

    Returns:
        Floating tensors of the spec in float32 or wider, the same for every order of sums; others as in the first.

    Raises:
        SpecError: See `Homes.axis`.
    """
    found: dict[str, Tensor] = {}
    for name, first in models[0].items():
        known = homes.spec.tensors.get(homes.spec.aliases.get(name, name))
        if known is None or not first.is_floating_point():
            found[name] = first
            continue
        into = reads.get(homes.spec.aliases.get(name, name), frozenset())
        shape = tuple(homes.axis(axis).size for axis in known.axes)
        total = torch.zeros(shape, dtype=torch.promote_types(first.dtype, torch.float32), device=first.device)
        count = torch.zeros([1 if at in into else size for at, size in enumerate(shape)], device=first.device)
        for network, state in enumerate(models):
            positions = [homes.positions(network, axis).to(first.device) for axis in known.axes]
            total += _placed(state[name].to(total.dtype), positions, shape)
            made = [where[:1] * 0 if at in into else where for at, where in enumerate(positions)]
            count += _placed(torch.ones([len(where) for where in made]).to(count), made, tuple(count.shape))
        found[name] = total / count.clamp(min=1.0)
    return found


def _placed(values: Tensor, positions: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Values added up at the positions of their indices along every axis."""
    for axis, (where, size) in enumerate(zip(positions, shape, strict=True)):
        if len(where) == size and bool((where == torch.arange(size, device=where.device)).all()):
            continue
        into = [*values.shape]
        into[axis] = size
        values = torch.zeros(into, dtype=values.dtype, device=values.device).index_add(axis, where, values)
    return values
