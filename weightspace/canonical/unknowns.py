"""Scales as unknowns of an optimisation: variances first, which leave fewer of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.freedom import Freedom, Freedoms
from weightspace.symmetry.freedom.freedom import Place

Where = tuple[str, int, int]  # tensor, block, dimension


@dataclass(frozen=True, eq=False)
class Unknown:
    """Logarithms of the scales of one freedom, with what follows from them for other freedoms of the group.

    Attributes:
        name: The freedom.
        shape: One number per unit: (outer..., n).
        exponents: By place, other than variances; never 0.
        shares: By freedom, how much its logarithm changes with this one.
    """

    name: str
    shape: tuple[int, ...]
    exponents: Mapping[Where, float]
    shares: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Posed:
    """The scales of a network as a problem.

    Attributes:
        start: Logarithms that bring the variances to their place: (variance + offset) = 1, in the mean of the
            logarithms where one scale changes several.
        unknowns: What may still be chosen.
    """

    start: Mapping[str, Tensor]
    unknowns: tuple[Unknown, ...]

    def logarithms(self, values: Iterable[Tensor]) -> dict[str, Tensor]:
        """The logarithms of all scales, given those of the unknowns."""
        result = {name: start.clone() for name, start in self.start.items()}
        for unknown, value in zip(self.unknowns, values, strict=True):
            for name, share in unknown.shares.items():
                result[name] += share * value
        return result


def posed(freedoms: Freedoms, tensors: Mapping[str, Tensor]) -> Posed:
    """The scales of a network as unknowns.

    A scale before a batch norm changes the variance v that is used as (v + offset); it always exists, and stays
    admissible, where v + offset becomes 1. What no variance decides stays unknown.

    Args:
        freedoms: The freedoms; those of other kinds are passed over.
        tensors: Weights in float64.

    Raises:
        SpecError: If one variance belongs to freedoms of different groups.
    """
    by_group: dict[str, list[Freedom]] = defaultdict(list)
    for freedom in freedoms.only("scale").all:
        by_group[freedom.group].append(freedom)
    start: dict[str, Tensor] = {}
    unknowns: list[Unknown] = []
    for each in by_group.values():
        some_start, some = _of_group(freedoms, each, tensors)
        start |= some_start
        unknowns += some
    return Posed(start, tuple(unknowns))


def _of_group(
    freedoms: Freedoms, each: list[Freedom], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[Unknown]]:
    shape = freedoms.shape(each[0])
    variances: dict[Where, dict[int, int]] = defaultdict(dict)
    offsets: dict[Where, Place] = {}
    for number, freedom in enumerate(each):
        for place in freedom.places:
            if place.offset:
                where = place.tensor, place.block, place.dim
                variances[where][number] = variances[where].get(number, 0) + place.exponent
                offsets[where] = place
    equations = [[Fraction(row.get(number, 0)) for number in range(len(each))] for row in variances.values()]
    pivots, reduced = _echelon(equations)
    start = {freedom.name: torch.zeros(shape, dtype=torch.float64) for freedom in each}
    if pivots:
        matrix = torch.tensor([[float(row[pivot]) for pivot in pivots] for row in equations], dtype=torch.float64)
        wanted = torch.stack([-_log_variance(freedoms, place, tensors, shape) for place in offsets.values()])
        solved = torch.einsum("pk,k...->p...", torch.linalg.pinv(matrix), wanted)
        for pivot, value in zip(pivots, solved, strict=True):
            start[each[pivot].name] = value
    unknowns = []
    for number, freedom in enumerate(each):
        if number in pivots:
            continue
        shares = {number: Fraction(1)}
        shares |= {pivot: -row[number] for pivot, row in zip(pivots, reduced, strict=True) if row[number]}
        exponents: dict[Where, Fraction] = defaultdict(Fraction)
        for other, share in shares.items():
            for place in each[other].places:
                if not place.offset:
                    exponents[place.tensor, place.block, place.dim] += share * place.exponent
        unknowns.append(
            Unknown(
                freedom.name,
                shape,
                {where: float(exponent) for where, exponent in exponents.items() if exponent},
                {each[other].name: float(share) for other, share in shares.items()},
            )
        )
    return start, unknowns


def _log_variance(freedoms: Freedoms, place: Place, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    """Logarithms of (variance + offset), one per unit."""
    block = freedoms.blocks[place.tensor][place.block]
    dims = (*block.dims[place.dim].outer, place.dim)
    entries = block.read(tensors[place.tensor])
    acting = freedoms.by_tensor[place.tensor]
    others = {freedom.group for freedom, other in acting if freedom.kind == "scale" and other.block == place.block}
    if len(others) > 1 or entries.numel() != torch.Size(shape).numel():
        raise SpecError(
            f"tensor '{place.tensor}': expected a variance per unit of one group, found one that {len(others)} groups "
            "share; canonicalize without the kind 'scale'"
        )
    return (entries.movedim(dims, tuple(range(len(dims)))).reshape(shape) + place.offset).log()


def _echelon(equations: list[list[Fraction]]) -> tuple[list[int], list[list[Fraction]]]:
    """Reduced row echelon form: pivot columns, and the rows that are not zero."""
    rows = [list(row) for row in equations]
    pivots: list[int] = []
    for column in range(len(rows[0]) if rows else 0):
        found = next((i for i in range(len(pivots), len(rows)) if rows[i][column]), None)
        if found is None:
            continue
        top = len(pivots)
        rows[top], rows[found] = rows[found], rows[top]
        rows[top] = [entry / rows[top][column] for entry in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[column]:
                rows[i] = [entry - row[column] * above for entry, above in zip(row, rows[top], strict=True)]
        pivots.append(column)
    return pivots, rows[: len(pivots)]
