"""Alignment of two networks of one architecture and different widths: which units have a counterpart, and which none.

The narrow network is padded with units that are zero. In the sum of inner products such a unit gains nothing anywhere,
so that matching the padded network is the rectangular assignment, group by group: the units of the wide network that
get a padding have no counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from weightspace.align.alignment import Alignment
from weightspace.align.engine import align
from weightspace.errors import AlignmentError
from weightspace.symmetry import Spec


@dataclass(frozen=True)
class WidthAlignment:
    """A narrow network laid into a wide one.

    Attributes:
        alignment: Of the padded narrow network to the wide one, over the spec of the wide one.
        padded: The narrow network in the shapes of the wide one, aligned to it; slots without a unit are zero. It is
            meant for merging, not for running: a norm over units would see the zeros.
        counterparts: For every movable group of the wide network, by name, int64 of shape (outer sizes..., n): the unit
            of the narrow network that stands in each slot, and -1 where there is none.
    """

    alignment: Alignment
    padded: Mapping[str, Tensor]
    counterparts: Mapping[str, Tensor]


def align_widths(
    wide: Mapping[str, Tensor],
    narrow: Mapping[str, Tensor],
    wide_spec: Spec,
    narrow_spec: Spec,
    *,
    method: str = "weights",
    restarts: int = 10,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> WidthAlignment:
    """Finds for every unit of a narrow network its place in a wide one.

    Args:
        wide: Weights of the wide network.
        narrow: Weights of the narrow network, which has the same tensors, none of them larger along an axis that moves.
        wide_spec: The symmetry of the wide network.
        narrow_spec: The symmetry of the narrow network.
        method: A method that goes by weights, see `weightspace.align.METHODS`.
        restarts: Number of starts of the search.
        seed: Seed of everything random.
        device: Where costs are formed.

    Raises:
        AlignmentError: If the two are not of one architecture, or the narrow one is wider somewhere.
    """
    sizes = _sizes(wide_spec, narrow_spec)
    padded = {name: _padded(name, tensor, wide_spec, narrow_spec) for name, tensor in narrow.items()}
    alignment = align(wide, padded, wide_spec, method=method, restarts=restarts, seed=seed, device=device)
    counterparts = {}
    for group in wide_spec.groups:
        perm = alignment.element.perm(group.name)
        outer = alignment.element.outer_coordinates(group)
        exists = perm < sizes[group.name]
        for name, old in zip(group.depends_on, outer, strict=True):
            exists &= (old < sizes.get(name, len(old))).unsqueeze(-1)
        counterparts[group.name] = torch.where(exists, perm, -1)
    return WidthAlignment(alignment, alignment.apply(padded), counterparts)


def _sizes(wide: Spec, narrow: Spec) -> dict[str, int]:
    """The size that every group of the wide network has in the narrow one."""
    own = {group.name: group for group in narrow.all_groups}
    if wide.tensors.keys() != narrow.tensors.keys():
        odd = sorted(wide.tensors.keys() ^ narrow.tensors.keys())[0]
        raise AlignmentError(
            f"tensor '{odd}': expected it in both networks, found it in one; give two of one architecture"
        )
    names: dict[str, str] = {}
    for tensor in wide.tensors:
        large, small = wide.blocks[tensor], narrow.blocks[tensor]
        if [len(block.dims) for block in large] != [len(block.dims) for block in small]:
            raise _differs(tensor)
        facing = (zip(one.dims, other.dims, strict=True) for one, other in zip(large, small, strict=True))
        for x, y in chain.from_iterable(facing):
            if (x.group is None) != (y.group is None) or (x.group is None and x.size != y.size):
                raise _differs(tensor)
            if x.group is not None and y.group is not None and names.setdefault(x.group, y.group) != y.group:
                raise _differs(tensor)
            if y.size > x.size:
                raise AlignmentError(
                    f"tensor '{tensor}': expected the narrow network to have at most {x.size} units in group "
                    f"'{x.group}', found {y.size}; neither network is the wide one everywhere"
                )
    return {group: own[name].size for group, name in names.items()}


def _padded(name: str, tensor: Tensor, wide: Spec, narrow: Spec) -> Tensor:
    canonical = wide.aliases.get(name, name)
    if canonical not in wide.tensors:
        return tensor
    result = tensor.new_zeros(wide.tensors[canonical].shape)
    for large, small in zip(wide.blocks[canonical], narrow.blocks[canonical], strict=True):
        values = tensor.new_zeros(large.shape)
        values[tuple(slice(dim.size) for dim in small.dims)] = small.read(tensor)
        large.write(result, values)
    return result


def _differs(tensor: str) -> AlignmentError:
    return AlignmentError(
        f"tensor '{tensor}': expected both networks to have the same symmetry there but for the numbers of units, "
        "found another; give two of one architecture"
    )
