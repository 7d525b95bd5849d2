"""Soft group elements: the convex hull of the group, and its action on blocks.

A soft element holds one matrix per group. For a plain group it is doubly stochastic. For a group inside of others that
move it acts on the joint index (outer..., own): entry ((o', i'), (o, i)) is the share of index i of outer index o that
goes to slot i' of slot o'. These matrices are the convex hull of the wreath product; matrices for the outer and the
inner group by themselves would average heads whose insides are not matched to each other. The best vertex in a
direction is exactly what `weightspace.align.nested` finds.

The action is linear in each matrix, except in blocks where two groups share an outer index (grouped queries beside
value dimensions): there no product of two such matrices is the action on both. Groups of such blocks, with all that
hang on them, have no soft form here (`relaxable`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.align.streams import frozen_and_movable
from weightspace.symmetry import Element, Group, Spec
from weightspace.symmetry.block import Block

Soft = Mapping[str, Tensor]
"""Group -> float32 (copies, m, m), with an own matrix for every index of frozen outer groups."""


@dataclass(frozen=True)
class Chain:
    """Dimensions of a block that one matrix acts on.

    Attributes:
        group: The innermost group.
        copies: Dimensions of its frozen outer groups, which stay in place.
        joint: Dimensions of its movable outer groups, and its own, outermost first.
    """

    group: str
    copies: tuple[int, ...]
    joint: tuple[int, ...]

    def arrange(self, values: Tensor) -> Tensor:
        """The values of a block as (copies, m, everything else)."""
        first = (*self.copies, *self.joint)
        rest = [dim for dim in range(values.dim()) if dim not in first]
        copies = math.prod(values.shape[dim] for dim in self.copies)
        joint = math.prod(values.shape[dim] for dim in self.joint)
        return values.permute(*first, *rest).reshape(copies, joint, -1)

    def act(self, matrix: Tensor, values: Tensor) -> Tensor:
        """The values of a block under one matrix of a soft element."""
        first = (*self.copies, *self.joint)
        order = [*first, *(dim for dim in range(values.dim()) if dim not in first)]
        back = [order.index(dim) for dim in range(values.dim())]
        shape = [values.shape[dim] for dim in order]
        return torch.bmm(matrix, self.arrange(values)).reshape(shape).permute(back)


def chains(block: Block, spec: Spec) -> list[Chain]:
    """The dimensions of a block that move, by innermost group."""
    groups = {group.name: group for group in spec.all_groups}
    moving = [at for at, dim in enumerate(block.dims) if dim.group is not None and groups[dim.group].movable]
    inside = {outer for at in moving for outer in block.dims[at].outer}
    found = []
    for at in moving:
        if at in inside:
            continue
        dim = block.dims[at]
        movable = tuple(outer for outer in dim.outer if outer in moving)
        frozen = tuple(outer for outer in dim.outer if outer not in moving)
        found.append(Chain(dim.group or "", frozen, (*movable, at)))
    return found


def relaxable(spec: Spec, blocks: Iterable[Block]) -> set[str]:
    """Groups that have a soft form: all whose blocks let their matrices act independently of each other."""
    groups = {group.name: group for group in spec.all_groups}
    bad = {group.name for group in spec.groups if not _is_chain(group, groups)}
    for block in blocks:
        carried = Counter(at for chain in chains(block, spec) for at in chain.joint)
        bad |= {block.dims[at].group or "" for at, count in carried.items() if count > 1}
    while True:  # what hangs on one another stays together
        trees = [{group.name, *frozen_and_movable(group, groups)[1]} for group in spec.groups]
        more = {name for tree in trees if tree & bad for name in tree} - bad
        if not more:
            return {group.name for group in spec.groups} - bad
        bad |= more


def vertex(element: Element, names: Iterable[str], device: torch.device) -> dict[str, Tensor]:
    """The matrices of an element, for some groups."""
    groups = {group.name: group for group in element.groups}
    return {name: _matrix(element, groups[name], groups).to(device) for name in names}


def centre(spec: Spec, names: Iterable[str], device: torch.device) -> dict[str, Tensor]:
    """The middle of the hull, where every slot holds the same share of every index, for some groups."""
    matrices = vertex(spec.identity(), names, device)
    return {name: torch.full_like(matrix, 1 / matrix.shape[-1]) for name, matrix in matrices.items()}


def _matrix(element: Element, group: Group, groups: Mapping[str, Group]) -> Tensor:
    frozen, movable = frozen_and_movable(group, groups)
    copies = math.prod(groups[name].size for name in frozen)
    joint = math.prod(groups[name].size for name in (*movable, group.name))
    sizes = [groups[name].size for name in (*frozen, *movable, group.name)]
    grid = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    new = dict(zip((*frozen, *movable, group.name), grid, strict=True))
    old = torch.zeros(grid[0].shape, dtype=torch.int64)
    for name in (*movable, group.name):
        old = old * groups[name].size + element.lookup(name, new)
    return torch.nn.functional.one_hot(old.reshape(copies, joint), joint).float()


def _is_chain(group: Group, groups: Mapping[str, Group]) -> bool:
    """Whether its movable outer groups lie within each other."""
    movable = frozen_and_movable(group, groups)[1]
    return all(frozen_and_movable(groups[name], groups)[1] == movable[:place] for place, name in enumerate(movable))
