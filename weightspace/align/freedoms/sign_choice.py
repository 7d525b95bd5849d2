"""The best signs for given inner products, entry by entry."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from weightspace.align.freedoms.sign_layout import Pattern, SignLayout


def best_over_signs(layout: SignLayout, patterns: Collection[Pattern], part: Callable[[Pattern], Tensor]) -> Tensor:
    """The largest sum of parts that signs reach.

    Args:
        layout: The freedoms.
        patterns: What parts there are.
        part: Gives the sum of those inner products that change their sign with exactly the freedoms of a pattern. It is
            called once for each, and no more than the parts of one leaf are held at a time.

    Returns:
        Of the shape of the parts.
    """
    return torch.stack(_Choice(layout, patterns, part, signs=False).totals).amax(0)


def best_signs(
    layout: SignLayout, patterns: Collection[Pattern], part: Callable[[Pattern], Tensor]
) -> dict[str, Tensor]:
    """The signs of all freedoms of a layout that reach the largest sum of parts; 1 where it makes no difference.

    Args:
        layout: The freedoms.
        patterns: What parts there are.
        part: As for `best_over_signs`.

    Returns:
        By freedom float64 1 or -1, of the shape of the parts, on the CPU.
    """
    choice = _Choice(layout, patterns, part, signs=True)
    best = choice.totals[0]
    chosen = torch.zeros(best.shape, dtype=torch.int64, device=best.device)
    for number, total in enumerate(choice.totals[1:], start=1):
        better = total > best
        best, chosen = torch.where(better, total, best), torch.where(better, number, chosen)
    signs = {}
    for place, name in enumerate(layout.cut):
        signs[name] = torch.tensor([combination[place] for combination in choice.combinations])[chosen.cpu()]
    for name in layout.leaves:
        signs[name] = torch.stack(choice.leaves[name]).gather(0, chosen.unsqueeze(0)).squeeze(0).cpu()
    return {name: sign.double() for name, sign in signs.items()}


class _Choice:
    """Sums of parts under every combination of the cut's signs, each with the best signs of the leaves.

    Attributes:
        combinations: Signs of the cut; the first leaves all as they are.
        totals: The sum under each combination.
        leaves: For every leaf its best sign under each combination, where signs are wanted.
    """

    def __init__(
        self,
        layout: SignLayout,
        patterns: Collection[Pattern],
        part: Callable[[Pattern], Tensor],
        *,
        signs: bool,
    ) -> None:
        self.combinations = list(itertools.product((1.0, -1.0), repeat=len(layout.cut)))
        self.leaves: dict[str, list[Tensor]] = {}
        self._cut = layout.cut
        by_leaf: dict[str | None, list[Pattern]] = defaultdict(list)
        for pattern in patterns:
            by_leaf[next((name for name in layout.leaves if name in pattern), None)].append(pattern)
        parts = [(pattern, part(pattern)) for pattern in by_leaf.pop(None, [])]
        self.totals = [self._sum(parts, combination) for combination in self.combinations]
        for leaf, own in by_leaf.items():
            parts = [(pattern, part(pattern)) for pattern in own]
            for number, combination in enumerate(self.combinations):
                of_leaf = self._sum(parts, combination)
                self.totals[number] = self.totals[number] + of_leaf.abs()
                if signs:
                    self.leaves.setdefault(leaf or "", []).append(torch.where(of_leaf < 0, -1.0, 1.0))
        for leaf in layout.leaves if signs else ():  # those that no part depends on
            self.leaves.setdefault(leaf, [torch.ones_like(total) for total in self.totals])

    def _sum(self, parts: list[tuple[Pattern, Tensor]], combination: tuple[float, ...]) -> Tensor:
        """The parts under signs of the cut."""
        signs = dict(zip(self._cut, combination, strict=True))
        total = torch.zeros(())
        for pattern, values in parts:
            negative = sum(signs[name] < 0 for name in pattern if name in signs) % 2
            total = total - values if negative else total + values
        return total
