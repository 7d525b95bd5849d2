"""Frank-Wolfe over the soft elements of all networks at once (C2M3, Crisostomi et al. 2024, section 3).

The objective is the sum of inner products over all pairs of networks, each brought into a common universe by its own
element: cycles close by construction. An iteration forms the gradient for every network and group, finds the best
vertex in its direction, one exact assignment each, and goes one step towards all of them, of the length that is best.
On that segment every block is a polynomial in the length, so the length is found exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weightspace.align.contraction import inner_product
from weightspace.align.many.family import Family, State
from weightspace.align.many.relaxed import Chain, Soft, chains, vertex
from weightspace.align.method import Progress
from weightspace.align.nested import match_similarities
from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block

MOST_ITERATIONS = 200
SMALLEST_GAIN = 1e-6  # of the objective
PATIENCE = 5  # iterations in a row that gain less


@dataclass(frozen=True)
class Relaxed:
    """Where Frank-Wolfe ended.

    Attributes:
        points: The soft element of each network.
        objective: The relaxed objective there.
        iterations: How many it took.
    """

    points: list[dict[str, Tensor]]
    objective: float
    iterations: int


def frank_wolfe(
    family: Family, moved: Sequence[State], start: Sequence[Soft], *, progress: Progress | None = None
) -> Relaxed:
    """Climbs the relaxed objective until five iterations in a row gain less than 1e-6 of it, or 200 have passed.

    Args:
        family: The networks.
        moved: Their weighed values, with the groups that have no soft form where they are to stay.
        start: A soft element for each network, of the groups that have one.
        progress: Told about every iteration.
    """
    points = [dict(point) for point in start]
    blocks = _blocks(family.spec, family.blocks, points[0])
    originals = [[block.read(state[block.tensor]) for state in moved] for block, _ in blocks]
    objective, stalled, iterations = -np.inf, 0, 0
    while iterations < MOST_ITERATIONS and stalled < PATIENCE:
        iterations += 1
        gradients = [{name: torch.zeros_like(matrix) for name, matrix in point.items()} for point in points]
        for (_, acting), values in zip(blocks, originals, strict=True):
            _add_gradients(gradients, acting, values, points)
        steps = [_towards_vertex(family, point, gradient) for point, gradient in zip(points, gradients, strict=True)]
        polynomial = np.zeros(1)
        for (_, acting), values in zip(blocks, originals, strict=True):
            polynomial = np.polynomial.polynomial.polyadd(polynomial, _on_segment(acting, values, points, steps))
        length = _best_length(polynomial)
        objective = float(np.polynomial.polynomial.polyval(length, polynomial))
        gain = objective - float(polynomial[0])
        if length == 0.0:
            break
        for point, step in zip(points, steps, strict=True):
            for name in point:
                point[name] = point[name] + length * step[name]
        stalled = stalled + 1 if gain < SMALLEST_GAIN * abs(objective) else 0
        if progress is not None:
            progress(iterations, MOST_ITERATIONS, f"relaxed objective {objective:.6g}")
    return Relaxed(points, objective, iterations)


def _blocks(spec: Spec, blocks: Sequence[Block], soft: Collection[str]) -> list[tuple[Block, list[Chain]]]:
    """The blocks that carry groups with a soft form, with how their matrices act."""
    found = []
    for block in blocks:
        acting = [chain for chain in chains(block, spec) if chain.group in soft]
        if acting:
            found.append((block, acting))
    return found


def _add_gradients(
    gradients: Sequence[dict[str, Tensor]], acting: Sequence[Chain], values: Sequence[Tensor], points: Sequence[Soft]
) -> None:
    """Adds the gradients of one block: the sum of the other networks against each, its other matrices applied."""
    whole = []
    for value, point in zip(values, points, strict=True):
        for chain in acting:
            value = chain.act(point[chain.group], value)
        whole.append(value)
    total = torch.stack(whole).sum(0)
    for value, point, own, gradient in zip(values, points, whole, gradients, strict=True):
        for place, chain in enumerate(acting):
            partial = value
            for other in (*acting[:place], *acting[place + 1 :]):
                partial = other.act(point[other.group], partial)
            gradient[chain.group] += torch.bmm(chain.arrange(total - own), chain.arrange(partial).transpose(1, 2))


def _towards_vertex(family: Family, point: Soft, gradient: Soft) -> dict[str, Tensor]:
    """The way from a point to the best vertex in the direction of the gradient."""
    best = vertex(match_similarities(family.spec, gradient), point, family.device)
    return {name: best[name] - matrix for name, matrix in point.items()}


def _on_segment(
    acting: Sequence[Chain], values: Sequence[Tensor], points: Sequence[Soft], steps: Sequence[Soft]
) -> np.ndarray:
    """Coefficients, lowest first, of what a block adds to the objective at ``point + t step``."""
    result = np.zeros(2 * len(acting) + 1)
    before: list[Tensor] | None = None  # sum over the networks so far
    for value, point, step in zip(values, points, steps, strict=True):
        own = [value]
        for chain in acting:
            stay = [chain.act(point[chain.group], part) for part in own]
            go = [chain.act(step[chain.group], part) for part in own]
            own = [stay[0], *(x + y for x, y in zip(stay[1:], go[:-1], strict=True)), go[-1]]
        for i, x in enumerate(before or []):
            for j, y in enumerate(own):
                result[i + j] += inner_product(x, y)
        before = own if before is None else [x + y for x, y in zip(before, own, strict=True)]
    return result


def _best_length(polynomial: np.ndarray) -> float:
    """Where in [0, 1] a polynomial is largest."""
    slope = np.trim_zeros(np.polynomial.polynomial.polyder(polynomial), "b")
    roots = np.polynomial.polynomial.polyroots(slope) if len(slope) > 1 else []
    inside = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and 0.0 < root.real < 1.0]
    return max([0.0, 1.0, *inside], key=lambda t: float(np.polynomial.polynomial.polyval(t, polynomial)))
