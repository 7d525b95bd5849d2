"""The sign freedoms of one group, and in which order to decide them.

Two freedoms are coupled where some block changes its sign with either of them. Signs that are coupled with no other are
decided one by one. Of the rest a few, the *cut*, are tried in every combination, after which the others, the *leaves*,
are not coupled any more. (In a transformer the sign of the residual stream is the cut, those of its normalisations are
leaves.) What would take a larger cut than `LARGEST_CUT` is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from weightspace.align.freedoms.sign_places import Acting, odd_places
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.block import Block

LARGEST_CUT = 3
Pattern = frozenset[str]
"""Names of the freedoms that change the sign of a block along one of its dimensions."""


@dataclass(frozen=True, eq=False)
class SignLayout:
    """The sign freedoms of a group.

    Attributes:
        group: The group.
        acting: Per freedom, the dimensions of blocks that change their sign with it.
        cut: Freedoms to be tried in every combination.
        leaves: Freedoms no two of which are coupled.
    """

    group: str
    acting: Mapping[str, Acting]
    cut: tuple[str, ...]
    leaves: tuple[str, ...]

    @property
    def freedoms(self) -> tuple[str, ...]:
        """Names of the freedoms whose signs are decided."""
        return (*self.cut, *self.leaves)

    def pattern(self, block: Block, dim: int) -> Pattern:
        """The freedoms, of those decided, that change the sign of a block along a dimension."""
        return self._patterns.get((block, dim), Pattern())

    @cached_property
    def _patterns(self) -> dict[tuple[Block, int], Pattern]:
        return _patterns({name: self.acting[name] for name in self.freedoms})


def sign_layouts(spec: Spec) -> dict[str, SignLayout]:
    """The sign freedoms of every plain group that has some: one that is neither inside nor outside of another.

    Freedoms that do not correspond to dimensions of the spec's blocks are left out.
    """
    found: dict[str, dict[str, Acting]] = {}
    plain = {group.name for group in spec.groups if _is_plain(group, (*spec.all_groups, *spec.freedoms.groups))}
    for freedom in spec.freedoms.only("sign").all:
        if freedom.group in plain and not spec.freedoms.group(freedom.group).depends_on:
            acting = odd_places(spec, freedom)
            if acting:
                found.setdefault(freedom.group, {})[freedom.name] = acting
    return {group: SignLayout(group, acting, *_order(acting)) for group, acting in found.items()}


def _is_plain(group: Group, groups: Iterable[Group]) -> bool:
    return not group.depends_on and all(group.name not in other.depends_on for other in groups)


def _patterns(acting: Mapping[str, Acting]) -> dict[tuple[Block, int], Pattern]:
    found: dict[tuple[Block, int], Pattern] = {}
    for name, blocks in acting.items():
        for block, dims in blocks.items():
            for dim in dims:
                found[block, dim] = found.get((block, dim), Pattern()) | {name}
    return found


def _order(acting: Mapping[str, Acting]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cut and the leaves; the freedoms with the most coupled ones are cut first."""
    coupled: dict[str, set[str]] = {name: set() for name in acting}
    for pattern in _patterns(acting).values():
        for name in pattern:
            coupled[name] |= pattern - {name}
    cut: list[str] = []
    open_names = list(acting)
    while True:
        degrees = {name: len(coupled[name] & set(open_names)) for name in open_names}
        most = max(open_names, key=lambda name: degrees[name], default=None)
        if most is None or degrees[most] == 0:
            return tuple(cut), tuple(open_names)
        open_names.remove(most)
        if len(cut) < LARGEST_CUT:
            cut.append(most)
