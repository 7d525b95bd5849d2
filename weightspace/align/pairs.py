"""Inner products of all pairs (head of A, head of B) under any permutations of what is inside of the heads.

A block is taken as (heads, inner..., rest). Where the rest is large, as in projections, the inner products over it are
formed once for all pairs of indices; permutations then only choose among them. That is no larger than the costs of the
axis and no more work. Where two inner groups share a block with little else (one matrix per head) those would be larger
than the block by far, so that there B is permuted for one head of A at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.align.contraction import contract
from weightspace.align.problem import Problem
from weightspace.align.term import Term

Perms = Mapping[str, Tensor]
"""For each inner group int64 (heads of A, heads of B, n): its permutation in that pair."""


@dataclass(frozen=True)
class Formed:
    """Inner products that are formed already, of all blocks that carry the same inner groups.

    Attributes:
        inner: The inner groups.
        values: float32 (heads, heads, n, n, m, m...), of A and of B for each of them.
    """

    inner: tuple[str, ...]
    values: Tensor

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.values)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the inner groups."""
        return dict(zip(self.inner, self.values.shape[2::2], strict=True))

    def given(self, perms: Perms, group: str | None = None) -> Tensor:
        """Inner products of pairs (heads, heads), or of pairs of indices of one group (heads, heads, n, n).

        Args:
            perms: Of all inner groups that the blocks carry, but `group`.
            group: The one that is left open.
        """
        values = self.values
        for place in reversed(range(len(self.inner))):
            if self.inner[place] != group:
                perm = perms[self.inner[place]].to(values.device)
                values = values.movedim((2 + 2 * place, 3 + 2 * place), (-2, -1))
                index = perm.reshape(*perm.shape[:2], *[1] * (values.dim() - 4), perm.shape[-1], 1)
                values = values.gather(-1, index.expand(*values.shape[:-1], 1)).squeeze(-1).sum(-1)
        return values


@dataclass(frozen=True)
class Apart:
    """One block whose inner products are formed anew under each choice of permutations.

    Attributes:
        inner: The inner groups.
        a: float32 (heads, n, m..., rest) of A, times the weight of the block.
        b: The same of B.
    """

    inner: tuple[str, ...]
    a: Tensor
    b: Tensor

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.a)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the inner groups."""
        return dict(zip(self.inner, self.a.shape[1:-1], strict=True))

    def given(self, perms: Perms, group: str | None = None) -> Tensor:
        """As of `Formed`."""
        return torch.stack([self._of_head(head, perms, group) for head in range(len(self.a))])

    def _of_head(self, head: int, perms: Perms, group: str | None) -> Tensor:
        a, b = self.a[head], self.b
        for place, name in enumerate(self.inner):
            if name != group:
                orders = perms[name][head].to(b.device)
                b = torch.stack([each.index_select(place, order) for each, order in zip(b, orders, strict=True)])
        if group is None:
            return b.flatten(1) @ a.flatten()
        place = self.inner.index(group)
        return a.movedim(place, 0).flatten(1) @ b.movedim(1 + place, 1).flatten(2).mT


def pairs_of(problem: Problem, outer: str, inner: Sequence[str], terms: Sequence[Term]) -> list[Formed | Apart]:
    """All blocks that carry an outer group, by the inner groups that they carry with it.

    Args:
        problem: The state of the descent.
        outer: The outer group.
        inner: The groups that depend on it alone.
        terms: Blocks that carry the outer group once and each inner group at most once.
    """
    apart: list[Apart] = []
    sums: dict[tuple[str, ...], Tensor] = {}
    sizes: dict[tuple[str, ...], tuple[int, ...]] = {}
    for term in terms:
        carried = tuple(group for group in inner if term.places(group))
        at, *places = (term.places(group)[0] for group in (outer, *carried))
        shape = term.block.shape
        sizes[carried] = heads, *counts = (shape[at], *(shape[place] for place in places))
        rest = [dim for dim in range(len(shape)) if dim != at and dim not in places]
        a, b = (values.permute(at, *places, *rest) for values in (problem.a(term), problem.b(term)))
        problem.work += 2 * a.numel() * heads * math.prod(counts)
        if len(carried) > 1 and math.prod(counts) > math.prod(shape[dim] for dim in rest):
            left, right = (values.reshape(heads, *counts, -1).float() for values in (a, b))
            apart.append(Apart(carried, left * term.weight, right))
        else:
            left, right = (values.reshape(heads * math.prod(counts), -1) for values in (a, b))
            sums[carried] = contract(left, right, (), 0, term.weight, sums.get(carried))
    return [*(Formed(carried, _by_pair(total, sizes[carried])) for carried, total in sums.items()), *apart]


def _by_pair(total: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """(h n m..., h n m...) as (h, h, n, n, m, m...)."""
    count = len(sizes)
    order = [side * count + place for place in range(count) for side in (0, 1)]
    return total.reshape(*sizes, *sizes).permute(order).contiguous()
