"""The joint step for an outer group and its inner groups, for example heads and what is inside of them.

With all other groups held, the score of pairing head i of A with head j of B is what the blocks say that see heads
only, plus the best inner permutations for that pair; one assignment of heads over these scores finishes. The step is
exact where no block carries two of the inner groups, as for query-key and value-output dimensions. Where blocks do
(grouped queries beside value dimensions), the inner groups of each pair are matched in turn until none gains, from two
starts: what the other blocks say, and the order as it is, so that the step does no worse than its groups one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from weightspace.align.problem import Problem
from weightspace.align.single import ROUNDING
from weightspace.align.term import Term
from weightspace.assignment import assign, assigned_score
from weightspace.symmetry import Element

MOST_ROUNDS = 8


def is_joint(problem: Problem, outer: str, inner: Sequence[str]) -> bool:
    """Whether every block carries the outer group once and each inner group at most once."""
    return all(
        len(term.places(outer)) == 1 and all(len(term.places(group)) <= 1 for group in inner)
        for term in problem.touched([outer, *inner])
    )


def joint_step(problem: Problem, outer: str, inner: Sequence[str], terms: Iterable[Term]) -> float:
    """Matches an outer group together with its inner groups, and moves B if that raises the objective.

    Args:
        problem: The state of the descent.
        outer: A movable group that depends on no other.
        inner: The groups that depend on it alone.
        terms: The blocks to go by, for which `is_joint` holds.

    Returns:
        The gain over these blocks, 0 where nothing moved.
    """
    terms = [term for term in terms if term.places(outer)]
    if not terms:
        return 0.0
    pairs = _Pairs(problem, outer, inner, terms)
    problem.work += pairs.work
    pairs.match_inner()
    scores = pairs.scores()
    chosen = assign(scores)
    gain = float(assigned_score(scores, chosen)) - problem.objective(terms)
    if not gain > ROUNDING * float(scores.abs().max()):
        return 0.0
    perms = {group: perm[torch.arange(len(chosen)), chosen] for group, perm in pairs.perms.items()}
    problem.move(Element(problem.spec.all_groups, {outer: chosen, **perms}))
    return gain


class _Pairs:
    """The inner matching problems of all pairs (outer index of A, outer index of B)."""

    def __init__(self, problem: Problem, outer: str, inner: Sequence[str], terms: Sequence[Term]) -> None:
        self.terms = []  # (a, b, inner groups): a and b with the outer dimension first, then inner ones, then the rest
        for term in terms:
            (at,) = term.places(outer)
            carried = [group for group in inner if term.places(group)]
            places = [term.places(group)[0] for group in carried]
            sizes = term.block.shape
            rest = [dim for dim in range(len(sizes)) if dim != at and dim not in places]
            shape = [sizes[at], *(sizes[place] for place in places), -1]
            a, b = (t.float().permute(at, *places, *rest).reshape(shape) for t in (problem.a(term), problem.b(term)))
            self.terms.append((a * term.weight, b, carried))
        self.heads = self.terms[0][0].shape[0]
        self.work = sum(2 * a.numel() * self.heads * (a.shape[1] if carried else 1) for a, _, carried in self.terms)
        sizes = {group: a.shape[1 + carried.index(group)] for a, _, carried in self.terms for group in carried}
        self.inner = [group for group in inner if group in sizes]
        self.perms = {group: torch.arange(n).expand(self.heads, self.heads, n) for group, n in sizes.items()}
        # The part of the scores that no other inner group changes is formed once.
        self.alone = {group: self._alone(group) for group in self.inner}

    def match_inner(self) -> None:
        """Finds inner permutations for every pair; `perms[group]` becomes (heads of A, heads of B, n)."""
        as_is = dict(self.perms)
        self._match_alone()
        if all(len(carried) <= 1 for _, _, carried in self.terms):
            return
        self._alternate()
        first, first_scores = self.perms, self.scores()
        self.perms = as_is
        self._alternate()
        better = (first_scores > self.scores()).cpu().unsqueeze(-1)
        self.perms = {group: torch.where(better, first[group], perm) for group, perm in self.perms.items()}

    def _match_alone(self) -> None:
        solved: set[str] = set()
        while len(solved) < len(self.inner):
            # A group is best matched by blocks in which nothing else is open.
            ready = {group: self._scores(group, solved) for group in self.inner if group not in solved}
            group = max(ready, key=lambda g: -1.0 if ready[g] is None else 1.0)
            scores = ready[group]
            if scores is None:
                scores = self._scores(group, set(self.inner))
            assert scores is not None
            self.perms[group] = assign(scores)
            solved.add(group)

    def _alternate(self) -> None:
        best = self.scores().sum()
        for _ in range(MOST_ROUNDS):
            for group in self.inner:
                scores = self._scores(group, set(self.inner))
                assert scores is not None
                self.perms[group] = assign(scores)
            now = self.scores().sum()
            if not float(now - best) > ROUNDING * float(now.abs()):
                break
            best = now

    def scores(self) -> Tensor:
        """Score of every pair under its inner permutations, shape (heads, heads)."""
        total = torch.zeros(self.heads, self.heads, dtype=torch.float64, device=self.terms[0][0].device)
        for group, scores in self.alone.items():
            if scores is not None:
                total += assigned_score(scores, self.perms[group])
        for a, b, carried in self.terms:
            if not carried:
                total += (a @ b.T).double()
            elif len(carried) > 1:
                moved = self._moved(b, carried, carried)
                total += torch.einsum("ir,ijr->ij", a.flatten(1).double(), moved.flatten(2).double())
        return total

    def _alone(self, group: str) -> Tensor | None:
        parts = [torch.einsum("iar,jbr->ijab", a, b) for a, b, carried in self.terms if carried == [group]]
        return torch.stack(parts).sum(0) if parts else None

    def _scores(self, group: str, solved: set[str]) -> Tensor | None:
        """Scores (heads, heads, n, n) of an inner group from blocks whose other inner groups are solved."""
        total = self.alone[group]
        for a, b, carried in self.terms:
            others = [g for g in carried if g != group]
            if group in carried and others and set(others) <= solved:
                place = 1 + carried.index(group)
                moved = self._moved(b, carried, others)
                left = a.movedim(place, 1).flatten(2)
                part = torch.einsum("iar,ijbr->ijab", left, moved.movedim(place + 1, 2).flatten(3))
                total = part if total is None else total + part
        return total

    def _moved(self, b: Tensor, carried: list[str], groups: list[str]) -> Tensor:
        """B for every pair of heads with some inner groups permuted: shape (heads, heads, inner..., rest)."""
        pairs = b.expand(self.heads, *b.shape)
        for group in groups:
            place = 2 + carried.index(group)
            perm = self.perms[group].to(b.device)
            shape = [self.heads, self.heads] + [1] * (pairs.dim() - 2)
            shape[place] = perm.shape[-1]
            pairs = pairs.gather(place, perm.reshape(shape).expand_as(pairs))
        return pairs
