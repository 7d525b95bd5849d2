"""Cycle-consistent matching (C2M3, Crisostomi et al. 2024): climb in the hull, round, and climb among the elements.

Where Frank-Wolfe starts decides what it finds. From the order as given (the paper's choice) it gets less than from a
point between the middle of the hull and an alignment that is known: each network with the first, and later the best
that was found, at a random depth between the two.

Groups that have no soft form (`weightspace.align.many.relaxed.relaxable`) stay where the start has them while the
others climb, and move with all of them in the rounds after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from weightspace.align.many.family import Family
from weightspace.align.many.frank_wolfe import frank_wolfe
from weightspace.align.many.merge_many import Merged, merge_many
from weightspace.align.many.relaxed import centre, relaxable, vertex
from weightspace.align.method import Progress
from weightspace.align.nested import match_similarities
from weightspace.symmetry import Element

FIRST_DEPTH = 0.5  # share of the middle of the hull in the first start
DEPTHS = 0.4, 0.9  # and its range in later ones


@dataclass(frozen=True)
class Climbed:
    """What cycle-consistent matching found.

    Attributes:
        best: Where the networks were brought.
        iterations: Iterations of Frank-Wolfe, over all starts.
        relaxed: The relaxed objective at the end of the best start, and 0 where none beat MergeMany.
        merge_many: The objective of MergeMany from the same alignment, which the result does not fall below.
    """

    best: Merged
    iterations: int
    relaxed: float
    merge_many: float


def climb(
    family: Family, start: Sequence[Element], *, restarts: int, seed: int, progress: Progress | None = None
) -> Climbed:
    """Finds elements for all networks at once; cycles close, since each is brought into one universe.

    Args:
        family: The networks.
        start: Where they are known to lie, roughly. The result is no worse than MergeMany from there.
        restarts: How many times to climb, and starts of the searches of MergeMany.
        seed: Seed of depths and visiting orders.
        progress: Told about every climb and its iterations.
    """
    soft = relaxable(family.spec, family.blocks)
    middle = centre(family.spec, soft, family.device)
    generator = torch.Generator().manual_seed(seed)
    best = merge_many(family, start, restarts=restarts, seed=seed)
    merged, source, depth, iterations, relaxed = best.objective, start, FIRST_DEPTH, 0, 0.0
    for number in range(restarts if len(family) > 1 and soft else 0):
        hard = [element.restrict(set(element.perms) - soft) for element in source]
        corners = [vertex(element, soft, family.device) for element in source]
        points = [
            {name: torch.lerp(matrix, middle[name], depth) for name, matrix in corner.items()} for corner in corners
        ]
        found = frank_wolfe(family, family.moved(hard), points, progress=_within(progress, number, restarts))
        rounded = [
            element.then(match_similarities(family.spec, point))
            for element, point in zip(hard, found.points, strict=True)
        ]
        candidate = merge_many(family, rounded, restarts=1, seed=seed)
        iterations += found.iterations
        if candidate.objective > best.objective:
            best, relaxed = candidate, found.objective
        low, high = DEPTHS
        source, depth = best.elements, low + (high - low) * float(torch.rand((), generator=generator))
    return Climbed(best, iterations, relaxed, merged)


def _within(progress: Progress | None, number: int, restarts: int) -> Progress | None:
    """Progress of one climb among several."""
    if progress is None:
        return None
    return lambda done, total, text: progress(number + done / total, restarts, text)
