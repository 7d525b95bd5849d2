"""Cells: units that nothing has told apart yet, in an order that does not depend on how units are numbered."""

from __future__ import annotations

import torch
from torch import Tensor

from weightspace.symmetry.element import Element
from weightspace.symmetry.freedom.values import along
from weightspace.symmetry.group import Group


class Cells:
    """For every unit of every group the rank of its cell, 0 first.

    Ranks are comparable between the copies of an inner group. Units of ordered groups are apart from the start.

    Args:
        groups: The groups of a spec.
    """

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self.groups = groups
        self.by_name = {group.name: group for group in groups}
        self.ranks: dict[str, Tensor] = {}
        for group in groups:
            shape = (*(self.by_name[name].size for name in group.depends_on), group.size)
            start = torch.zeros(shape, dtype=torch.int64)
            self.ranks[group.name] = start if group.movable else start + torch.arange(group.size)

    def copy(self) -> Cells:
        """Cells of their own with the same ranks."""
        other = Cells(self.groups)
        other.ranks = dict(self.ranks)
        return other

    def rank(self, group: str | None, size: int) -> Tensor:
        """Ranks of the units of a group of shape (outer..., n); the index itself where no group acts."""
        return torch.arange(size) if group is None else self.ranks[group]

    def keep(self, group: str) -> None:
        """Puts every unit of a group apart, in the order of their numbers."""
        ranks = self.ranks[group]
        self.ranks[group] = torch.arange(ranks.shape[-1]).expand(ranks.shape).clone()

    def open(self, group: str) -> Tensor:
        """Which units of a group share their cell with another unit, of the shape of the ranks."""
        ranks = self.ranks[group]
        return (torch.bincount(ranks.reshape(-1)) > 1)[ranks]

    def unsettled(self) -> list[Group]:
        """Movable groups, outer ones first, of which some units that could change places are not apart."""
        found = []
        for group in sorted(self.groups, key=lambda each: len(each.depends_on)):
            if group.movable:
                ordered = self.ranks[group.name].sort(dim=-1).values
                if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
                    found.append(group)
        return found

    def split(self, group: str, keys: Tensor, slack: Tensor | None = None, *, doubt: float = 0.0) -> tuple[bool, int]:
        """Splits cells by a key, largest first.

        Args:
            group: The group.
            keys: A number per unit, of the shape of the ranks.
            slack: Neighbouring keys that are no further apart than this stay together; None for exact keys.
            doubt: How far rounding may move a gap, as a share of the slack.

        Returns:
            Whether a cell was split, and how many of these decisions were so close that rounding can turn them.
        """
        old = self.ranks[group].reshape(-1)
        keys = keys.reshape(-1)
        order = keys.argsort(descending=True, stable=True)
        order = order[old[order].argsort(stable=True)]
        ranks, sorted_keys = old[order], keys[order]
        same = ranks[1:] == ranks[:-1]
        if slack is None:
            together, close = same & (sorted_keys[1:] == sorted_keys[:-1]), 0
        else:
            allowed = slack.reshape(-1)[order]
            allowed = torch.maximum(allowed[1:], allowed[:-1])
            gap = sorted_keys[:-1] - sorted_keys[1:]
            together = same & (gap <= allowed)
            close = int((same & ((gap - allowed).abs() < doubt * allowed)).sum())
        new = torch.zeros_like(old)
        new[1:] = (~together).cumsum(0)
        result = torch.empty_like(old)
        result[order] = new
        self.ranks[group] = result.reshape(self.ranks[group].shape)
        return bool((same & ~together).any()), close

    def inherit(self, group: Group) -> bool:
        """Tells the units of an inner group apart by the ranks of their outer indices; whether that split a cell."""
        split = False
        shape = self.ranks[group.name].shape
        for name in group.depends_on:
            places = tuple(group.depends_on.index(each) for each in (*self.by_name[name].depends_on, name))
            split |= self.split(group.name, -along(self.ranks[name], places, len(shape)).expand(shape))[0]
        return split

    def element(self) -> Element:
        """The permutation that puts units in the order of their ranks, and of their numbers within a cell."""
        perms: dict[str, Tensor] = {}
        for group in sorted(self.groups, key=lambda each: len(each.depends_on)):
            if group.movable:
                old = Element(self.groups, perms).outer_coordinates(group)
                ranks = self.ranks[group.name]
                perms[group.name] = (ranks[old] if old else ranks).argsort(dim=-1, stable=True)
        return Element(self.groups, perms)
