"""The scales at which all weights together are smallest.

Every scale multiplies what makes a unit and divides what reads it. In the logarithms t of the scales the sum of squared
weights is a sum of exponentials of linear functions, so that its minimum is unique in what the weights become (the
smallest vector of a closed orbit: Kempf and Ness 1979). There the weights that make a unit are as large as those that
read it. It is found by Newton's method with conjugate gradients.

Where all that makes a unit is zero, or all that reads it, no scale is the smallest one. Such a unit is left out, with
its weights, until the others are settled; then the geometric mean of its weights becomes 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.gather import gathered
from weightspace.canonical.unknowns import Unknown
from weightspace.symmetry.freedom import Freedoms
from weightspace.symmetry.freedom.values import along

NEWTON_STEPS = 200
CONJUGATE_STEPS = 1000
LONGEST_STEP = 3.0  # of a logarithm, so that exponentials stay in range
PRECISION = 1e-3  # of every step, relative
CONVERGED = 1e-11  # a step this long leaves an error of it times the precision

Values = list[Tensor]  # one tensor per unknown


@dataclass(frozen=True, eq=False)
class Part:
    """An unknown in a block: its number, where its units lie, and its exponent."""

    unknown: int
    dims: tuple[int, ...]
    exponent: float


@dataclass(frozen=True, eq=False)
class Term:
    """A block, summed over the dimensions that no unknown changes.

    Attributes:
        squares: Sums of squared entries.
        logarithms: Sums of the logarithms of entries that are not zero.
        counts: How many these are.
        parts: What changes it.
    """

    squares: Tensor
    logarithms: Tensor
    counts: Tensor
    parts: tuple[Part, ...]

    def exponent(self, values: Sequence[Tensor]) -> Tensor:
        """The logarithm of the factor of every entry."""
        total = torch.zeros_like(self.squares)
        for part in self.parts:
            total = total + part.exponent * along(values[part.unknown], part.dims, total.dim())
        return total


@dataclass(frozen=True, eq=False)
class Balance:
    """The scales that were found.

    Attributes:
        values: Logarithms, one tensor per unknown.
        one_sided: By unknown, how many of its units have zeros only on one side.
        converged: Whether the minimum was reached.
    """

    values: Values
    one_sided: tuple[int, ...]
    converged: bool


def terms_of(freedoms: Freedoms, unknowns: Sequence[Unknown], tensors: Mapping[str, Tensor]) -> list[Term]:
    """The blocks that unknown scales change.

    Args:
        freedoms: The freedoms.
        unknowns: The unknowns.
        tensors: Weights in float64.
    """
    acting: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
    for number, unknown in enumerate(unknowns):
        for (tensor, block, dim), exponent in unknown.exponents.items():
            acting.setdefault((tensor, block), []).append((number, dim, exponent))
    terms = []
    for (tensor, number), each in acting.items():
        block = freedoms.blocks[tensor][number]
        entries = block.read(tensors[tensor])
        kept = tuple(sorted({place for _, dim, _ in each for place in (*block.dims[dim].outer, dim)}))
        nonzero = entries != 0
        terms.append(
            Term(
                gathered(entries.square(), kept),
                gathered(torch.where(nonzero, entries, 1.0).abs().log(), kept),
                gathered(nonzero.double(), kept),
                tuple(
                    Part(unknown, tuple(kept.index(place) for place in (*block.dims[dim].outer, dim)), exponent)
                    for unknown, dim, exponent in each
                ),
            )
        )
    return terms


def balanced(unknowns: Sequence[Unknown], terms: Sequence[Term]) -> Balance:
    """The scales at which the weights are smallest, and 1 in the geometric mean where no scale is the smallest."""
    free: Values = [torch.ones(unknown.shape, dtype=torch.bool) for unknown in unknowns]
    alive = [term.counts > 0 for term in terms]
    levels: list[tuple[Values, list[Tensor]]] = []
    while True:
        ups, downs = (_touching(unknowns, terms, alive, sign) for sign in (1, -1))
        lone = [f & (up != down) for f, up, down in zip(free, ups, downs, strict=True)]
        if not any(bool(each.any()) for each in lone):
            break
        own = [_on_any(term, lone) & live for term, live in zip(terms, alive, strict=True)]
        alive = [live & ~gone for live, gone in zip(alive, own, strict=True)]
        ups_left, downs_left = (_touching(unknowns, terms, alive, sign) for sign in (1, -1))
        both = zip(free, lone, ups, downs, ups_left, downs_left, strict=True)
        # Units that have lost their last entries go with those that took them away.
        lone = [mine | (f & (up | down) & ~(up_left | down_left)) for f, mine, up, down, up_left, down_left in both]
        levels.append((lone, own))
        free = [f & ~each for f, each in zip(free, lone, strict=True)]
    values: Values = [torch.zeros(unknown.shape, dtype=torch.float64) for unknown in unknowns]
    values, converged = _smallest(terms, alive, free, values)
    for lone, own in reversed(levels):
        values = _even(terms, own, lone, values)
    one_sided = tuple(sum(int(lone[number].sum()) for lone, _ in levels) for number in range(len(unknowns)))
    return Balance(values, one_sided, converged)


def _touching(unknowns: Sequence[Unknown], terms: Sequence[Term], alive: Sequence[Tensor], sign: int) -> Values:
    """Which units have an entry, other than zero, with an exponent of a sign."""
    found: Values = [torch.zeros(unknown.shape, dtype=torch.bool) for unknown in unknowns]
    for term, live in zip(terms, alive, strict=True):
        for part in term.parts:
            touched = live & (_total_exponent(term, part) * sign > 0)
            found[part.unknown] |= gathered(touched.double(), part.dims) > 0
    return found


def _total_exponent(term: Term, part: Part) -> Tensor:
    """What one unknown's unit does to every entry: where it stands on both sides, both exponents count."""
    total = torch.full_like(term.squares, part.exponent)
    for other in term.parts:
        if other is not part and other.unknown == part.unknown:
            mine, its = (_numbers(term, each) for each in (part, other))
            total = total + other.exponent * (mine == its)
    return total


def _numbers(term: Term, part: Part) -> Tensor:
    """The number of a part's unit at every entry."""
    sizes = [term.squares.shape[dim] for dim in part.dims]
    return along(torch.arange(math.prod(sizes)).reshape(sizes), part.dims, term.squares.dim())


def _on_any(term: Term, units: Values) -> Tensor:
    """Which entries some of the given units change."""
    found = torch.zeros_like(term.squares, dtype=torch.bool)
    for part in term.parts:
        found = found | (along(units[part.unknown], part.dims, found.dim()) & (_total_exponent(term, part) != 0))
    return found


# ---------------------------------------------------------------------- the minimum of the sum of squares


def _smallest(terms: Sequence[Term], alive: Sequence[Tensor], free: Values, values: Values) -> tuple[Values, bool]:
    """Newton's method on the sum of squares of the entries that are alive, in the units that are free."""
    squares = [torch.where(live, term.squares, 0.0) for term, live in zip(terms, alive, strict=True)]
    for _ in range(NEWTON_STEPS):
        current = [s * (2 * term.exponent(values)).exp() for term, s in zip(terms, squares, strict=True)]
        gradient = _collected(terms, [2 * entries for entries in current], free)
        weights = [4 * entries for entries in current]
        step = _solved(terms, weights, [-g for g in gradient], free, precise=PRECISION)
        longest = max((float(s.abs().max()) for s in step if s.numel()), default=0.0)
        length = min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
        before = sum(float(entries.sum()) for entries in current)
        while longest > 1e-6 and length > 1e-3:
            trial = [v + length * s for v, s in zip(values, step, strict=True)]
            after = sum(
                float((s * (2 * term.exponent(trial)).exp()).sum()) for term, s in zip(terms, squares, strict=True)
            )
            if after <= before:
                break
            length /= 2
        values = [v + length * s for v, s in zip(values, step, strict=True)]
        if longest <= CONVERGED:
            return values, True
    return values, False


def _even(terms: Sequence[Term], own: Sequence[Tensor], units: Values, values: Values) -> Values:
    """Least squares on the logarithms of the given entries, in the given units."""
    counts = [torch.where(mine, term.counts, 0.0) for term, mine in zip(terms, own, strict=True)]
    for _ in range(2):  # the second time for what rounding left
        residuals = [
            torch.where(mine, term.logarithms, 0.0) + count * term.exponent(values)
            for term, mine, count in zip(terms, own, counts, strict=True)
        ]
        step = _solved(terms, counts, [-g for g in _collected(terms, residuals, units)], units, precise=1e-14)
        values = [v + s for v, s in zip(values, step, strict=True)]
    return values


# ---------------------------------------------------------------------- linear algebra over units


def _collected(terms: Sequence[Term], entries: Sequence[Tensor], units: Values, power: int = 1) -> Values:
    """Sums of exponent^power times entries over the entries that every unit changes; 0 for units that stay."""
    total = [torch.zeros(unit.shape, dtype=torch.float64) for unit in units]
    for term, each in zip(terms, entries, strict=True):
        for part in term.parts:
            total[part.unknown] += part.exponent**power * gathered(each, part.dims)
    return [torch.where(unit, t, 0.0) for t, unit in zip(total, units, strict=True)]


def _solved(
    terms: Sequence[Term], weights: Sequence[Tensor], right: Values, units: Values, *, precise: float
) -> Values:
    """Solves (A^T W A) x = right by conjugate gradients, A being the exponents, with the diagonal as preconditioner."""

    def applied(x: Values) -> Values:
        return _collected(terms, [w * term.exponent(x) for term, w in zip(terms, weights, strict=True)], units)

    diagonal = _collected(terms, weights, units, power=2)
    inverse = [torch.where(d > 0, 1.0 / d, 0.0) for d in diagonal]
    solution = [torch.zeros_like(r) for r in right]
    rest = [r.clone() for r in right]
    conditioned = [i * r for i, r in zip(inverse, rest, strict=True)]
    goal = precise * _largest(conditioned)
    direction, product = conditioned, _dot(rest, conditioned)
    for _ in range(CONJUGATE_STEPS):
        if product <= 0 or _largest(conditioned) <= goal:
            break
        image = applied(direction)
        curvature = _dot(direction, image)
        if curvature <= 0:
            break
        length = product / curvature
        solution = [s + length * d for s, d in zip(solution, direction, strict=True)]
        rest = [r - length * i for r, i in zip(rest, image, strict=True)]
        conditioned = [i * r for i, r in zip(inverse, rest, strict=True)]
        product, before = _dot(rest, conditioned), product
        direction = [c + product / before * d for c, d in zip(conditioned, direction, strict=True)]
    return solution


def _dot(x: Values, y: Values) -> float:
    return sum(float((a * b).sum()) for a, b in zip(x, y, strict=True))


def _largest(values: Values) -> float:
    return max((float(value.abs().max()) for value in values if value.numel()), default=0.0)
