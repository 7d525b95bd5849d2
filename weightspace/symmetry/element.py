"""Elements of the symmetry group of a network: one permutation array per group, with composition and inverse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.group import Group


@dataclass(frozen=True, eq=False)
class Element:
    """A group element: for every movable group an int64 array of permutations.

    ``perms[name]`` has shape (sizes of the outer groups..., n). Its convention is that of `torch.index_select`: slot i
    of the result holds old index ``perm[i]``. With outer groups, slot (o, i) of the result holds old index
    ``(outer[o], perm[o, i])``: the array is indexed by the *new* outer index.

    Attributes:
        groups: The groups of the spec, ordered (frozen) ones included.
        perms: Permutation arrays by group name, on the CPU. Groups that are not named stay where they are.
    """

    groups: tuple[Group, ...]
    perms: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        known = {group.name: group for group in self.groups}
        for name, perm in self.perms.items():
            if name not in known or not known[name].movable:
                raise SpecError(f"group element: '{name}' is not a movable group of the spec")
            shape = (*(known[outer].size for outer in known[name].depends_on), known[name].size)
            if tuple(perm.shape) != shape or perm.dtype != torch.int64:
                raise SpecError(
                    f"group element: '{name}' expects int64 of shape {shape}, found {perm.dtype} of {tuple(perm.shape)}"
                )
            if not bool((perm.sort(dim=-1).values == torch.arange(shape[-1])).all()):
                raise SpecError(f"group element: '{name}' is not a permutation of 0..{shape[-1] - 1}")

    @classmethod
    def identity(cls, groups: Iterable[Group]) -> Element:
        """The element that moves nothing."""
        return cls(tuple(groups), {})

    @classmethod
    def random(cls, groups: Iterable[Group], generator: torch.Generator) -> Element:
        """A uniformly random element."""
        groups = tuple(groups)
        sizes = {group.name: group.size for group in groups}
        perms = {}
        for group in groups:
            if group.movable:
                outer = [sizes[name] for name in group.depends_on]
                rows = [torch.randperm(group.size, generator=generator) for _ in range(math.prod(outer))]
                perms[group.name] = torch.stack(rows).reshape(*outer, group.size)
        return cls(groups, perms)

    def perm(self, name: str) -> Tensor:
        """The permutation array of one group (the identity where the element does not name it)."""
        if name in self.perms:
            return self.perms[name]
        known = {group.name: group for group in self.groups}
        shape = (*(known[outer].size for outer in known[name].depends_on), known[name].size)
        return torch.arange(known[name].size).expand(shape)

    def restrict(self, names: Iterable[str]) -> Element:
        """The element that acts as this one on the named groups and leaves the others where they are."""
        keep = set(names)
        return Element(self.groups, {name: perm for name, perm in self.perms.items() if name in keep})

    def moved(self, name: str) -> int:
        """Number of indices of a group that change their place, counted over all outer indices.

        An inner index counts as moved when its permutation moves it, whether or not its outer index moves.
        """
        perm = self.perm(name)
        return int((perm != torch.arange(perm.shape[-1])).sum())

    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return all(self.moved(name) == 0 for name in self.perms)

    def then(self, other: Element) -> Element:
        """The element that acts as ``self`` first and as ``other`` second.

        For a plain group this is ``self.perm[other.perm]``. For an inner group the permutation of ``self`` is first
        re-indexed by the outer permutation of ``other``: slot o of the result came from slot ``other.outer[o]``.

        Raises:
            SpecError: If the two elements belong to different groups.
        """
        if self.groups != other.groups:
            raise SpecError("group elements of two different specs cannot be composed")
        perms = {}
        for group in self.groups:
            if group.movable and (group.name in self.perms or group.name in other.perms):
                middle = other.outer_coordinates(group)
                last = other.perm(group.name)
                perms[group.name] = self.perm(group.name)[(*(m.unsqueeze(-1) for m in middle), last)]
        return Element(self.groups, perms)

    def inverse(self) -> Element:
        """The element that undoes this one."""
        inverses: dict[str, Tensor] = {}
        for group in sorted(self.groups, key=lambda g: len(g.depends_on)):
            if group.movable and (group.name in self.perms or any(name in inverses for name in group.depends_on)):
                # Slot (o, j) of the inverse holds the k with perm[o', k] = j, where o' is the old index of slot o.
                middle = Element(self.groups, inverses).outer_coordinates(group)
                inverses[group.name] = self.perm(group.name).argsort(dim=-1)[middle]
        return Element(self.groups, inverses)

    def outer_coordinates(self, group: Group) -> tuple[Tensor, ...]:
        """For every new outer index of a group, the old index of each outer group.

        Returns:
            One int64 tensor per name in ``group.depends_on``, each of shape (sizes of the outer groups...).
        """
        known = {g.name: g for g in self.groups}
        sizes = [known[name].size for name in group.depends_on]
        grids = torch.meshgrid(*(torch.arange(n) for n in sizes), indexing="ij") if sizes else ()
        new = dict(zip(group.depends_on, grids, strict=True))
        return tuple(self.lookup(name, new) for name in group.depends_on)

    def lookup(self, name: str, coordinates: Mapping[str, Tensor]) -> Tensor:
        """Old index of a group at new coordinates.

        Args:
            name: The group.
            coordinates: New indices (int64, broadcastable with each other) of the group and of its outer groups.

        Returns:
            Old indices, of the broadcast shape.
        """
        if name not in self.perms:
            return coordinates[name]
        outer = next(group.depends_on for group in self.groups if group.name == name)
        return self.perms[name][(*(coordinates[o] for o in outer), coordinates[name])]
