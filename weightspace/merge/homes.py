"""Where the units of several networks go in a network that is merged from them.

A merge is one map per group and network: every unit has one home among the units of the merged network. Where two units
of different networks share a home they are merged, a unit with a home of its own is kept apart. Permutation (one home
for each pair), partial matching (PLeaS: Nasery et al. 2024) and zipping (Stoica et al. 2023) are cases of this. Into
the merged network leads the mean over the units of a home, out of it a copy for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry import Spec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis
from weightspace.symmetry.block import axis_pieces


@dataclass(frozen=True, eq=False)
class Homes:
    """The homes of the units of aligned networks; of groups that are not named unit i goes to slot i.

    Attributes:
        spec: The symmetry of the networks.
        sizes: Size of a group in the merged network.
        units: For every network and group int64 (n,): the home of each unit, below the size.

    Raises:
        SpecError: A group does not exist, is nested in or around another, or a home is out of range.
    """

    spec: Spec
    sizes: Mapping[str, int]
    units: tuple[Mapping[str, Tensor], ...]

    def __post_init__(self) -> None:
        groups = {group.name: group for group in self.spec.groups}
        around = {outer for group in self.spec.all_groups for outer in group.depends_on}
        for name, size in self.sizes.items():
            if name not in groups or groups[name].depends_on or name in around:
                raise SpecError(f"group '{name}': expected a movable group apart from others, found none of that name")
            for own in self.units:
                home = own.get(name)
                if home is None or home.shape != (groups[name].size,) or not bool(((home >= 0) & (home < size)).all()):
                    raise SpecError(
                        f"group '{name}': expected {groups[name].size} homes from 0 to {size - 1} for every network"
                    )

    @classmethod
    def partial(cls, spec: Spec, apart: Mapping[str, Tensor]) -> Homes:
        """Of two aligned networks: pairs of units share a home, but for those that are kept apart.

        Args:
            spec: The symmetry of the networks.
            apart: For groups that are to grow bool (n,): whether the units in a slot stay apart. Those of the second
                network come after all of the first.
        """
        sizes, first, second = {}, {}, {}
        for name, chosen in apart.items():
            n = len(chosen)
            sizes[name] = n + int(chosen.sum())
            first[name] = torch.arange(n)
            second[name] = torch.where(chosen, n + chosen.cumsum(0) - 1, torch.arange(n))
        return cls(spec, sizes, (first, second))

    def axis(self, axis: Axis) -> Axis:
        """An axis as it is in the merged network.

        Raises:
            SpecError: A group that grows lies scattered among others: no one can say where its new units belong.
        """
        match axis:
            case GroupAxis(group, size):
                return GroupAxis(group, self.sizes.get(group, size))
            case FixedAxis():
                return axis
            case ProductAxis(factors):
                return ProductAxis(tuple(self.axis(factor) for factor in factors))
            case SumAxis(parts, runs):
                grown = tuple(self.axis(part) for part in parts)
                if grown == parts:
                    return axis
                if len(runs) != len(parts):
                    raise SpecError("expected a concatenation of whole parts, found some that lie scattered")
                return SumAxis(grown, tuple(Run(run.part, 0, grown[run.part].size) for run in runs))

    def positions(self, network: int, axis: Axis) -> Tensor:
        """Where the indices of an axis of one network go, int64 of its size."""
        own, found = self.units[network], torch.empty(axis.size, dtype=torch.int64)
        for before, after in zip(axis_pieces(axis), axis_pieces(self.axis(axis)), strict=True):
            homes = [
                torch.arange(size) if group is None or group not in self.sizes else own[group]
                for group, size in zip(before.groups, before.index.shape, strict=True)
            ]
            found[before.index] = after.index[tuple(torch.meshgrid(*homes, indexing="ij"))] if homes else after.index
        return found

    def mean(self, values: Sequence[Tensor], axis: Axis, dim: int) -> Tensor:
        """Values of the networks along an axis, averaged over the units of each home.

        Args:
            values: One tensor per network.
            axis: The axis of a parameter that makes them.
            dim: Their dimension of its size.
        """
        size = self.axis(axis).size
        places = [self.positions(network, axis).to(values[0].device) for network in range(len(values))]
        count = torch.stack([torch.bincount(where, minlength=size) for where in places]).sum(0)
        shape = [*values[0].shape]
        shape[dim] = size
        total = torch.zeros(shape, dtype=values[0].dtype, device=values[0].device)
        for where, each in zip(places, values, strict=True):
            total.index_add_(dim, where, each)
        return total / count.clamp(min=1).reshape([-1 if at == dim % total.dim() else 1 for at in range(total.dim())])
