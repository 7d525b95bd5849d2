"""The blocks of a network's tensors as relations between units, which tell the units of a group apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.symmetry.block import Dim
from weightspace.symmetry.spec import Spec


@dataclass(frozen=True, eq=False)
class Relation:
    """A number for every combination of units along its dimensions.

    Attributes:
        entries: The numbers.
        dims: The group of every dimension, and where the outer groups of each lie.
    """

    entries: Tensor
    dims: tuple[Dim, ...]

    def units(self, dim: int) -> tuple[int, ...]:
        """The dimensions that together name a unit of the group of a dimension: those of its outer groups, and it."""
        return (*self.dims[dim].outer, dim)


def relations_of(spec: Spec, tensors: Mapping[str, Tensor]) -> list[Relation]:
    """The blocks on which some group acts; where a group acts on two dimensions, the diagonal between them as well.

    Args:
        spec: The symmetry.
        tensors: By the names of the spec; those that are missing say nothing.
    """
    movable = {group.name for group in spec.groups}
    found = []
    for name, blocks in spec.blocks.items():
        for block in blocks:
            if block.groups & movable and name in tensors:
                entries = block.read(tensors[name])
                parts = (entries.real, entries.imag) if entries.is_complex() else (entries,)
                for part in parts:
                    found.append(Relation(part, block.dims))
                    found.extend(_diagonals(found[-1]))
    return found


def _diagonals(relation: Relation) -> Iterator[Relation]:
    """What a unit says about itself, for every pair of dimensions of one group."""
    dims = relation.dims
    for first, second in itertools.combinations(range(len(dims)), 2):
        if dims[first].group is None or dims[first].group != dims[second].group:
            continue
        if dims[second].outer and second in dims[first].outer:
            continue
        letters = list(range(len(dims)))
        for one, other in zip(relation.units(first), relation.units(second), strict=True):
            letters[other] = letters[one]
        kept = sorted(set(letters))
        entries = _diagonal(relation.entries, letters, kept)
        place = {letter: position for position, letter in enumerate(kept)}
        yield Relation(
            entries,
            tuple(
                Dim(dims[letter].group, dims[letter].size, tuple(place[letters[outer]] for outer in dims[letter].outer))
                for letter in kept
            ),
        )


def _diagonal(entries: Tensor, letters: list[int], kept: list[int]) -> Tensor:
    """Entries at which dimensions of one letter have one index."""
    grid = {
        letter: torch.arange(entries.shape[letter]).reshape([-1 if i == letter else 1 for i in kept]) for letter in kept
    }
    return entries[tuple(grid[letter].to(entries.device) for letter in letters)]
