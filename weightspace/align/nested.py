"""From similarities of units to the best group element, groups within groups included, exactly.

With one similarity matrix per group nothing couples groups but nesting: the score of pairing head i of A with head j of
B is what is known about heads alone, plus the best assignment of what is inside of them, for each inner group. These
are found for all pairs at once, innermost groups first; then the permutations are read off from the outside in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.align.streams import frozen_and_movable
from weightspace.assignment import assign, assigned_score
from weightspace.symmetry import Element, Group, Spec


def match_similarities(spec: Spec, similarities: Mapping[str, Tensor]) -> Element:
    """Finds the element with the largest sum of similarities.

    Args:
        spec: The symmetry of the network.
        similarities: As in `weightspace.align.similarity.Similarities`; groups that are left out, and hold no group
            that is not, stay where they are.

    Raises:
        AlignmentError: If a similarity is NaN or infinite.
    """
    return _Matching(spec, similarities).element()


class _Matching:
    """Layout of all tensors: frozen outer sizes, then (index of A, index of B) for every movable outer group."""

    def __init__(self, spec: Spec, similarities: Mapping[str, Tensor]) -> None:
        self.spec = spec
        self.groups = {group.name: group for group in spec.all_groups}
        self.similarities = similarities
        self.perms: dict[str, Tensor] = {}  # (frozen..., (A, B) per movable outer..., n)
        self.scores: dict[str, Tensor] = {}  # the same without n

    def element(self) -> Element:
        # What depends on more groups lies deeper.
        for group in sorted(self.spec.groups, key=lambda group: -len(group.depends_on)):
            self._match(group)
        chosen: dict[str, Tensor] = {}
        for group in sorted(self.spec.groups, key=lambda group: len(group.depends_on)):
            if group.name in self.perms:
                chosen[group.name] = self._chosen(group, chosen)
        return Element(self.spec.all_groups, chosen)

    def _match(self, group: Group) -> None:
        """Best permutations of a group for every pair of indices of what it depends on."""
        frozen, movable = frozen_and_movable(group, self.groups)
        total = self._own(group, frozen, movable)
        for inner in self.spec.groups:
            inner_frozen, inner_movable = frozen_and_movable(inner, self.groups)
            if inner.name in self.scores and inner_movable == [*movable, group.name]:
                extra = [at for at, name in enumerate(inner_frozen) if name not in frozen]
                part = self.scores[inner.name].sum(extra) if extra else self.scores[inner.name]
                total = part if total is None else total + part
        if total is not None:
            self.perms[group.name] = assign(total)
            self.scores[group.name] = assigned_score(total, self.perms[group.name])

    def _own(self, group: Group, frozen: list[str], movable: list[str]) -> Tensor | None:
        own = self.similarities.get(group.name)
        if own is None:
            return None
        copies = [self.groups[name].size for name in frozen]
        sizes = [*(self.groups[name].size for name in movable), group.size]
        first = len(copies)
        pairs = [at for level in range(len(sizes)) for at in (first + level, first + len(sizes) + level)]
        return own.reshape(*copies, *sizes, *sizes).permute(*range(first), *pairs)

    def _chosen(self, group: Group, chosen: Mapping[str, Tensor]) -> Tensor:
        """The permutations of a group for the pairs that were chosen, (sizes of the outer groups..., n)."""
        outers = group.depends_on
        if not outers:
            return self.perms[group.name]
        index = torch.meshgrid(*(torch.arange(self.groups[name].size) for name in outers), indexing="ij")
        new = dict(zip(outers, index, strict=True))
        frozen, movable = frozen_and_movable(group, self.groups)
        picked = [new[name] for name in frozen]
        for name in movable:
            at = (*(new[outer] for outer in self.groups[name].depends_on), new[name])
            picked += [new[name], chosen[name][at] if name in chosen else new[name]]
        return self.perms[group.name][tuple(picked)]
