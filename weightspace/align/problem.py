"""The matching problem over blocks: A fixed, B moved step by step, and the costs of one group given the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

import torch
from torch import Tensor

from weightspace.align.balance import block_weights
from weightspace.align.contraction import contract, inner_product
from weightspace.align.memory import default_memory
from weightspace.align.shelf import Shelf
from weightspace.align.term import Term, moving_blocks
from weightspace.assignment import Matching
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.block import Block

_HALF = (torch.float16, torch.bfloat16)


class Problem:
    """Sum over blocks of the inner product of A with B under a group element, which accumulates in `element`.

    Running statistics are no part of it (Git Re-Basin, section 3.2, leaves them out too), nor are blocks that no group
    moves. Tied tensors count once. Blocks and the costs of groups are held as long as there is room, else read and
    formed again: of checkpoints that are read lazily no more is in memory at a time.

    Attributes:
        spec: The symmetry.
        element: What B has been moved by.
        movable: Names of the movable groups.
        terms: The blocks.
        by_group: The blocks that carry each group.
        norms: Frobenius norms of A and of B for each block; no group element changes them.
        memory: Bytes of blocks and costs that may be held.
        work: Floating-point operations that forming costs has taken so far.
        matchings: The last assignment of each group, from which the next one starts; a group that is moved loses it.
    """

    def __init__(
        self,
        a: Mapping[str, Tensor],
        b: Mapping[str, Tensor],
        spec: Spec,
        device: torch.device,
        *,
        balance: bool = False,
        memory: int | None = None,
        change: Callable[[Block, Tensor], Tensor] | None = None,
    ) -> None:
        """Reads both networks, block by block.

        Args:
            a: Weights of A.
            b: Weights of B.
            spec: The symmetry.
            device: Where to compute.
            balance: Whether to weigh the blocks (`weightspace.align.balance`).
            memory: Bytes of blocks and costs that may be held; by default as `default_memory` says.
            change: What B's values in a block are before the element moves them; they must keep their norm. Where that
                becomes another, `reread` says so. By default they are as they come.
        """
        self.spec = spec
        self.element = spec.identity()
        self.movable = {group.name for group in spec.groups}
        self.work = 0
        self.matchings: dict[str, Matching] = {}
        self._a, self._b, self._device, self._change = a, b, device, change
        self.memory = default_memory(spec) if memory is None else memory
        self._shelf = Shelf(self.memory)
        blocks = moving_blocks(spec)
        norms = [(_norm(self._read("a", block)), _norm(self._read("b", block))) for block in blocks]
        weights = block_weights(blocks, norms) if balance else [1.0] * len(blocks)
        self.terms = [Term(block, weight) for block, weight in zip(blocks, weights, strict=True)]
        self.norms = dict(zip(self.terms, norms, strict=True))
        self.by_group: dict[str, list[Term]] = {name: [] for name in self.movable}
        for term in self.terms:
            for group in term.block.groups & self.movable:
                self.by_group[group].append(term)

    def a(self, term: Term) -> Tensor:
        """Values of A in a block: float32, or half precision where it is stored so."""
        return self._read("a", term.block)

    def b(self, term: Term) -> Tensor:
        """Values of B under the element in a block, likewise."""
        return self._read("b", term.block)

    def value(self, term: Term) -> float:
        """What a block contributes to the objective."""
        return term.weight * inner_product(self.a(term), self.b(term))

    def objective(self, terms: Iterable[Term] | None = None) -> float:
        """The sum over all blocks, or over some, in float64."""
        return math.fsum(self.value(term) for term in (self.terms if terms is None else terms))

    def upper_bound(self) -> float:
        """What no group element exceeds: the sum over blocks of the products of their norms (Cauchy-Schwarz)."""
        return math.fsum(term.weight * a * b for term, (a, b) in self.norms.items())

    def touched(self, groups: Iterable[str]) -> list[Term]:
        """Terms that carry any of the groups, each once, in order."""
        wanted = {term for group in groups for term in self.by_group[group]}
        return [term for term in self.terms if term in wanted]

    def move(self, step: Element) -> None:
        """Applies a group element to B; the costs that are held follow, or are dropped where that would cost more."""
        moving = {name for name in step.perms if step.moved(name)}
        if not moving:
            return
        for group in moving:
            self.matchings.pop(group, None)
        touched = self.touched(moving)
        stale = {group for term in touched for group in term.block.groups & self.movable}
        for group in stale:
            costs = self._shelf.find(("costs", group))
            if costs is not None and not self._follow(group, costs, step, moving):
                self._shelf.drop([("costs", group)])
        for term in touched:
            held = self._shelf.find(("b", term.block))
            if held is not None:
                self._shelf.put(("b", term.block), *_with_size(act_on_block(term.block, step, held)))
        self.element = self.element.then(step)

    def move_to(self, element: Element) -> None:
        """Moves B so that it is under the given element."""
        self.move(self.element.inverse().then(element))

    def forget_costs(self) -> None:
        """Drops all costs and assignments, so that what follows does not depend on how they came about."""
        self.matchings.clear()
        self._shelf.drop([("costs", group) for group in self.movable])

    def reread(self, terms: Iterable[Term]) -> None:
        """Forgets B in some blocks, and the costs that go by them, since `change` makes something else of them now."""
        for term in terms:
            self._shelf.drop([("b", term.block), *(("costs", group) for group in term.block.groups)])

    def scores(self, group: str, terms: Collection[Term] | None = None) -> Tensor:
        """Linear scores of one group with all others held: entry (o..., i, j) is the gain of unit j in slot i.

        A term that carries the group twice contributes its linearisation, once per dimension.

        Args:
            group: The group.
            terms: Blocks to go by; by default all that carry it, and the result is kept for the next call.

        Returns:
            float32 of shape (sizes of the outer groups..., n, n), to be read only.
        """
        if terms is None and self.is_linear(group, self.by_group[group]):
            return self._shelf.get(("costs", group), lambda: _with_size(self._form(group, self.by_group[group])))
        return self._form(group, self.by_group[group] if terms is None else terms)

    def is_linear(self, group: str, terms: Iterable[Term]) -> bool:
        """Whether every term carries the group at most once, so that the scores are exact."""
        return all(len(term.places(group)) <= 1 for term in terms)

    def _form(self, group: str, terms: Collection[Term]) -> Tensor:
        total: Tensor | None = None
        for term in terms:
            for place in term.places(group):
                a, b = self.a(term), self.b(term)
                total = contract(a, b, term.block.dims[place].outer, place, term.weight, total)
                self.work += 2 * a.numel() * a.shape[place]
        if total is None:
            raise ValueError(f"no block carries group '{group}'")
        return total

    def _follow(self, group: str, costs: Tensor, step: Element, moving: set[str]) -> bool:
        """Takes held costs along with a step, before B moves; False where forming them anew is cheaper.

        Where a share f of another group moves, so does that share of every inner product: f of the full work.
        """
        shared = [(term, other) for term in self.by_group[group] for other in moving - {group} if term.places(other)]
        if not all(term.is_plain(group) and term.is_plain(other) for term, other in shared):
            return False
        if group in moving and not all(term.is_plain(group) for term in self.by_group[group]):
            return False
        if len({term for term, _ in shared}) < len(shared):  # two groups of one block at once
            return False
        changed = {other: _changed(step.perms[other]) for _, other in shared}
        if any(2 * len(changed[other]) > len(step.perms[other]) for _, other in shared):
            return False
        costs = costs.clone() if shared else costs
        for term, other in shared:
            a, b = self.a(term), self.b(term)
            (at,), (place,) = term.places(other), term.places(group)
            new = changed[other].to(b.device)
            old = step.perms[other].to(b.device)[new]
            difference = b.index_select(at, old).float() - b.index_select(at, new).float()
            contract(a.index_select(at, new), difference, (), place, term.weight, costs)
            self.work += 2 * difference.numel() * difference.shape[place]
        if group in moving:
            costs = costs.index_select(1, step.perms[group].to(costs.device))
        self._shelf.put(("costs", group), *_with_size(costs))
        return True

    def _read(self, side: str, block: Block) -> Tensor:
        def make() -> tuple[Tensor, int]:
            tensor = (self._a if side == "a" else self._b)[block.tensor].detach()
            kept = tensor.to(self._device, tensor.dtype if tensor.dtype in _HALF else torch.float32)
            values = block.read(kept)
            if side == "b":
                values = self._change(block, values) if self._change is not None else values
                values = act_on_block(block, self.element, values)
            shares = values.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
            return values, 0 if shares else values.nbytes

        return self._shelf.get((side, block), make)


def _with_size(tensor: Tensor) -> tuple[Tensor, int]:
    return tensor, tensor.nbytes


def _norm(values: Tensor) -> float:
    return math.sqrt(inner_product(values, values))


def _changed(perm: Tensor) -> Tensor:
    """Slots of a permutation that get another unit."""
    return (perm != torch.arange(len(perm))).nonzero().flatten()
