"""Where the units of several networks go in a network that is merged from them.

A merge is one map per group and network: every unit has one home among the units of the merged network. Where two units
of different networks share a home they are merged, a unit with a home of its own is kept apart. Permutation (one home
for each pair), partial matching (PLeaS: Nasery et al. 2024) and zipping (Stoica et al. 2023) are cases of this. Into
the merged network leads the mean over the units of a home, out of it a copy for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry import Spec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.sites import Site


@dataclass(frozen=True, eq=False)
class Homes:
    """The homes of the units of aligned networks; of groups that are not named unit i goes to slot i.

    Units of a group that others are nested in, such as heads, go with all that is inside of them, in its order.

    Attributes:
        spec: The symmetry of the networks.
        sizes: Size of a group in the merged network.
        units: For every network and group int64 (n,): the home of each unit, below the size.

    Raises:
        SpecError: A group does not exist, is nested in another, or a home is out of range.
    """

    spec: Spec
    sizes: Mapping[str, int]
    units: tuple[Mapping[str, Tensor], ...]

    def __post_init__(self) -> None:
        groups = {group.name: group for group in self.spec.groups}
        for name, size in self.sizes.items():
            if name not in groups or groups[name].depends_on:
                raise SpecError(
                    f"group '{name}': expected a movable group that lies in no other, found none of that name"
                )
            for own in self.units:
                home = own.get(name)
                if home is None or home.shape != (groups[name].size,) or not bool(((home >= 0) & (home < size)).all()):
                    raise SpecError(
                        f"group '{name}': expected {groups[name].size} homes from 0 to {size - 1} for every network"
                    )

    @classmethod
    def partial(cls, spec: Spec, apart: Mapping[str, Tensor], networks: int = 2) -> Homes:
        """Of aligned networks: units that match share a home, but for those that are kept apart.

        Args:
            spec: The symmetry of the networks.
            apart: For groups that are to grow bool (n,): whether the units in a slot stay apart. Those of the first
                network come first, then those that are merged, then those of the second and further ones, so that of
                two networks each one's are one stretch.
            networks: How many networks there are.
        """
        sizes: dict[str, int] = {}
        units: tuple[dict[str, Tensor], ...] = tuple({} for _ in range(networks))
        for name, chosen in apart.items():
            n, extra = len(chosen), int(chosen.sum())
            sizes[name] = n + (networks - 1) * extra
            merged, alone = extra + (~chosen).cumsum(0) - 1, chosen.cumsum(0) - 1
            for network, own in enumerate(units):
                begin = 0 if network == 0 else n + (network - 1) * extra
                own[name] = torch.where(chosen, begin + alone, merged)
        return cls(spec, sizes, units)

    def axis(self, axis: Axis) -> Axis:
        """An axis as it is in the merged network.

        New units of a group that lies scattered among others are part of its last stretch.

        Raises:
            SpecError: What lies scattered is not a group alone.
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
                count = Counter(run.part for run in runs)
                if any(count[at] > 1 for at in _changed(parts, grown)):
                    raise SpecError("expected a group alone or one stretch, found a structure that lies scattered")
                return SumAxis(grown, tuple(_run(run, parts[run.part], grown[run.part]) for run in runs))

    def positions(self, network: int, axis: Axis) -> Tensor:
        """Where the indices of an axis of one network go, int64 of its size."""
        own, found = self.units[network], torch.empty(axis.size, dtype=torch.int64)
        if not self.sizes:
            return torch.arange(axis.size)
        for before, after in zip(axis_pieces(axis), axis_pieces(self.axis(axis)), strict=True):
            homes = [
                torch.arange(size) if group is None or group not in self.sizes else own[group]
                for group, size in zip(before.groups, before.index.shape, strict=True)
            ]
            found[before.index] = after.index[tuple(torch.meshgrid(*homes, indexing="ij"))] if homes else after.index
        return found

    def present(self, axis: Axis) -> Tensor:
        """Which networks have a unit at the indices of an axis of the merged network, bool (networks, its size)."""
        found = torch.zeros(len(self.units), self.axis(axis).size, dtype=torch.bool)
        for network, own in enumerate(found):
            own[self.positions(network, axis)] = True
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


def mean_made(homes: Homes | None, site: Site, values: Sequence[Tensor], dim: int) -> Tensor:
    """The mean of what a layer makes in several networks, for every unit of the merged network.

    Args:
        homes: Where units go; None for each to its counterpart.
        site: The layer.
        values: One tensor per network.
        dim: Their dimension of the units that it makes.
    """
    if homes is None:
        return torch.stack([*values]).mean(0)
    return homes.mean(values, homes.spec.tensors[site.weight].axes[site.made], dim)


def _changed(parts: Sequence[Axis], grown: Sequence[Axis]) -> list[int]:
    """Numbers of the parts that are more than a group and change their size."""
    pairs = enumerate(zip(parts, grown, strict=True))
    return [at for at, (one, two) in pairs if one.size != two.size and not isinstance(one, GroupAxis)]


def _run(run: Run, part: Axis, grown: Axis) -> Run:
    """A stretch of a part as it is in the merged network."""
    last = run.start + run.length == part.size
    return Run(run.part, run.start, grown.size - run.start) if last else run
