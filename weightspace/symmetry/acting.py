"""Every group of a network with all that it is free to do: its permutation, and the freedoms beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weightspace.symmetry.block import Block
from weightspace.symmetry.freedom.freedom import KINDS, Freedom
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec


@dataclass(frozen=True, slots=True)
class Acting:
    """A group, and in which ways it acts.

    Attributes:
        group: The group.
        kinds: How many freedoms of each kind it has: ``permutation`` at most once, the others also several times.
        axes: (tensor, axis) pairs that it acts on.
    """

    group: Group
    kinds: Mapping[str, int]
    axes: tuple[tuple[str, int], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The kinds for people, with the number where there are several: ``scale (3)``."""
        return tuple(kind if count == 1 else f"{kind} ({count})" for kind, count in self.kinds.items())


def acting_groups(spec: Spec) -> tuple[Acting, ...]:
    """All groups that change anything: those of the permutations first, then those that only other freedoms have."""
    freedoms: dict[str, list[Freedom]] = {}
    for freedom in spec.freedoms.all:
        freedoms.setdefault(freedom.group, []).append(freedom)
    known = {group.name: group for group in spec.all_groups}
    permuting = set(known)
    known.update({group.name: group for group in spec.freedoms.groups if group.name not in known})
    found = []
    for name, group in known.items():
        own = freedoms.get(name, [])
        counts = Counter(freedom.kind for freedom in own)
        permuted = dict.fromkeys(group.kinds, 1) if name in permuting else {}
        kinds = permuted | {kind: counts[kind] for kind in KINDS if counts[kind]}
        if kinds:
            axes = spec.occurrences(name) or list(dict.fromkeys(axis for each in own for axis in _axes(spec, each)))
            found.append(Acting(group, kinds, tuple(axes)))
    return tuple(found)


def _axes(spec: Spec, freedom: Freedom) -> Iterator[tuple[str, int]]:
    for place in freedom.places:
        yield place.tensor, _axis_of(spec.freedoms.blocks[place.tensor][place.block], place.dim)
    for turn in freedom.turns:
        yield turn.tensor, turn.axis


def _axis_of(block: Block, dim: int) -> int:
    """The axis of the tensor on which a dimension of one of its blocks lies."""
    axes = [axis for axis, piece in enumerate(block.pieces) for _ in piece.groups]
    return axes[dim]
