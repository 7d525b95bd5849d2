"""The matching problem over blocks: A fixed, B moved step by step, and the costs of one group given the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from weightspace.align.balance import block_weights
from weightspace.align.term import Term
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.action import act_on_block


class Problem:
    """Sum over blocks of the inner product of A with B under a group element, which accumulates in `element`.

    Running statistics are no part of it (Git Re-Basin, section 3.2, leaves them out too), nor are blocks that no group
    moves. Tied tensors count once.
    """

    def __init__(
        self,
        a: Mapping[str, Tensor],
        b: Mapping[str, Tensor],
        spec: Spec,
        device: torch.device,
        *,
        balance: bool = False,
    ) -> None:
        self.spec = spec
        self.element = spec.identity()
        self.movable = {group.name for group in spec.groups}
        self.terms: list[Term] = []
        self.by_group: dict[str, list[Term]] = {name: [] for name in self.movable}
        for name, tensor in spec.tensors.items():
            if tensor.kind != "parameter":
                continue
            left, right = (t[name].detach().to(device, torch.float32) for t in (a, b))
            for block in spec.blocks[name]:
                moving = block.groups & self.movable
                if moving:
                    term = Term(block, block.read(left), block.read(right))
                    self.terms.append(term)
                    for group in moving:
                        self.by_group[group].append(term)
        if balance:
            weights = block_weights(self.terms)
            for term, weight in zip(self.terms, weights, strict=True):
                term.a = term.a * weight

    def objective(self) -> float:
        """The sum over all blocks, in float64."""
        return math.fsum(term.value() for term in self.terms)

    def upper_bound(self) -> float:
        """What no group element exceeds: the sum over blocks of the products of their norms (Cauchy-Schwarz)."""
        return math.fsum(float(term.a.double().norm() * term.b.double().norm()) for term in self.terms)

    def touched(self, groups: Iterable[str]) -> list[Term]:
        """Terms that carry any of the groups, each once, in order."""
        wanted = {id(term) for group in groups for term in self.by_group[group]}
        return [term for term in self.terms if id(term) in wanted]

    def move(self, step: Element) -> None:
        """Applies a group element to B."""
        for term in self.touched(step.perms):
            term.b = act_on_block(term.block, step, term.b)
        self.element = self.element.then(step)

    def scores(self, group: str, terms: Iterable[Term]) -> Tensor:
        """Linear scores of one group with all others held: entry (o..., i, j) is the gain of unit j in slot i.

        A term that carries the group twice contributes its linearisation, once per dimension.

        Args:
            group: The group.
            terms: Blocks that carry it.

        Returns:
            float32 of shape (sizes of the outer groups..., n, n).
        """
        total: Tensor | None = None
        for term in terms:
            for place in term.places(group):
                outer = term.block.dims[place].outer
                part = _contract(term.a, term.b, outer, place)
                total = part if total is None else total + part
        if total is None:
            raise ValueError(f"no block carries group '{group}'")
        return total

    def is_linear(self, group: str, terms: Iterable[Term]) -> bool:
        """Whether every term carries the group at most once, so that the scores are exact."""
        return all(len(term.places(group)) <= 1 for term in terms)


def _contract(a: Tensor, b: Tensor, outer: tuple[int, ...], place: int) -> Tensor:
    """Inner products over all dimensions but the outer ones (kept) and one (taken from A and from B)."""
    rest = [dim for dim in range(a.dim()) if dim != place and dim not in outer]
    order = [*outer, place, *rest]
    sizes = [a.shape[dim] for dim in outer]
    n = a.shape[place]
    left, right = (t.permute(order).reshape(math.prod(sizes), n, -1) for t in (a, b))
    return torch.bmm(left, right.transpose(1, 2)).reshape(*sizes, n, n)
