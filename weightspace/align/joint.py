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

from weightspace.align.pairs import Apart, Formed, pairs_of
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
    inside = _Inside(pairs_of(problem, outer, inner, terms))
    stay = float(inside.scores().diagonal().sum())
    inside.match()
    scores = inside.scores()
    chosen = assign(scores)
    gain = float(assigned_score(scores, chosen)) - stay
    if not gain > ROUNDING * float(scores.abs().max()):
        return 0.0
    perms = {group: perm[torch.arange(len(chosen)), chosen] for group, perm in inside.perms.items()}
    problem.move(Element(problem.spec.all_groups, {outer: chosen, **perms}))
    return gain


class _Inside:
    """The inner matching problems of all pairs (head of A, head of B).

    Attributes:
        perms: For every inner group int64 (heads, heads, n): its permutation in each pair, at first the order as it is.
    """

    def __init__(self, pairs: Sequence[Formed | Apart]) -> None:
        self.pairs = pairs
        # What no other inner group changes is known once and for all.
        self._alone = {each.inner[0]: each.given({}, each.inner[0]) for each in pairs if len(each.inner) == 1}
        heads = pairs[0].heads
        sizes = {group: n for each in pairs for group, n in each.sizes.items()}
        self.perms = {group: torch.arange(n).expand(heads, heads, n) for group, n in sizes.items()}

    def match(self) -> None:
        """Finds inner permutations for every pair."""
        as_is = dict(self.perms)
        self._match_alone()
        if all(len(each.inner) <= 1 for each in self.pairs):
            return
        self._alternate()
        first, first_scores = self.perms, self.scores()
        self.perms = as_is
        self._alternate()
        better = (first_scores > self.scores()).cpu().unsqueeze(-1)
        self.perms = {group: torch.where(better, first[group], perm) for group, perm in self.perms.items()}

    def scores(self) -> Tensor:
        """Score of every pair under its inner permutations, float64 (heads, heads)."""
        return sum((each.given(self.perms).double() for each in self.pairs), torch.zeros((), dtype=torch.float64))

    def _match_alone(self) -> None:
        solved: set[str] = set()
        while len(solved) < len(self.perms):
            # A group is best matched by blocks in which nothing else is open.
            ready = {group: self._scores_of(group, solved) for group in self.perms if group not in solved}
            group = max(ready, key=lambda g: -1.0 if ready[g] is None else 1.0)
            scores = ready[group]
            if scores is None:
                scores = self._scores_of(group, set(self.perms))
            assert scores is not None
            self.perms[group] = assign(scores)
            solved.add(group)

    def _alternate(self) -> None:
        best = self.scores().sum()
        for _ in range(MOST_ROUNDS):
            for group in self.perms:
                scores = self._scores_of(group, set(self.perms))
                assert scores is not None
                self.perms[group] = assign(scores)
            now = self.scores().sum()
            if not float(now - best) > ROUNDING * float(now.abs()):
                break
            best = now

    def _scores_of(self, group: str, solved: set[str]) -> Tensor | None:
        """Scores (heads, heads, n, n) of an inner group from blocks whose other inner groups are solved."""
        total = self._alone.get(group)
        for each in self.pairs:
            others = set(each.inner) - {group}
            if group in each.inner and others and others <= solved:
                part = each.given(self.perms, group)
                total = part if total is None else total + part
        return total
