"""Canonical values of the freedoms beside permutations: rotations, scales, maps inside of heads, signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.canonical.balance import balanced, terms_of
from weightspace.canonical.canonical import Gauge
from weightspace.canonical.linear import untwisted
from weightspace.canonical.rotation import turned
from weightspace.canonical.signs import leaning
from weightspace.canonical.unknowns import posed
from weightspace.symmetry.freedom import Freedom
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation

ROUNDS = 200  # of scales and maps in turn, where each changes what the other one sees
SETTLED = 1e-11  # logarithms of scales that change by less are at rest


@dataclass(frozen=True, eq=False)
class Gauged:
    """All but permutations in canonical form.

    Attributes:
        transformation: What leads there.
        gauges: What became of each freedom.
        gap: Rounding errors of the weights have grown by its inverse, at most: the smallest relative distance of two
            singular values or principal axes.
    """

    transformation: Transformation
    gauges: tuple[Gauge, ...]
    gap: float


def gauged(tensors: Mapping[str, Tensor], spec: Spec, kinds: tuple[str, ...], *, tolerance: float) -> Gauged:
    """The transformation that brings all but permutations into canonical form, and what became of each freedom.

    Args:
        tensors: Weights and statistics by the names of the spec.
        spec: The symmetry.
        kinds: Kinds of freedom to use.
        tolerance: Numbers that differ by less, relatively, count as equal.
    """
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    gauging = _Gauging(spec, wide, tolerance)
    rotations = spec.freedoms.only(*({"rotation"} & set(kinds))).all
    gauging.rotate(rotations)
    scales = spec.freedoms.only(*({"scale"} & set(kinds))).all
    maps = spec.freedoms.only(*({"linear"} & set(kinds))).all
    rounds = ROUNDS if scales and maps else 1
    rest = False
    for _ in range(rounds):
        rest = not scales or gauging.scale() <= SETTLED
        if rest and maps and gauging.mapped:
            break
        gauging.map(maps)
    if rounds > 1 and not rest:
        gauging.unresolved |= {freedom.name: freedom for freedom in scales}
    signs = spec.freedoms.only(*({"sign"} & set(kinds))).all
    gauging.sign((*signs, *maps))
    gauges = tuple(gauging.gauge(freedom) for freedom in (*rotations, *scales, *maps, *signs))
    return Gauged(gauging.total, gauges, gauging.gap)


class _Gauging:
    def __init__(self, spec: Spec, tensors: dict[str, Tensor], tolerance: float) -> None:
        self.spec = spec
        self.tensors = tensors
        self.tolerance = tolerance
        self.total = Transformation.identity(spec)
        self.one_sided: dict[str, int] = {}
        self.loose: dict[str, Tensor] = {}
        self.unresolved: dict[str, Freedom] = {}
        self.mapped = False
        self.gap = 1.0

    def rotate(self, rotations: tuple[Freedom, ...]) -> None:
        """Makes principal axes the coordinates."""
        values = {}
        for freedom in rotations:
            found = turned(self.spec.freedoms, freedom, self.tensors, tolerance=self.tolerance)
            values[freedom.name], self.loose[freedom.name] = found.value, found.loose
            self.gap = min(self.gap, found.gap)
        self._step(values)

    def scale(self) -> float:
        """Balances the scales; the largest change of a logarithm."""
        freedoms = self.spec.freedoms
        problem = posed(freedoms, self.tensors)
        started = self._after({name: value.exp() for name, value in problem.start.items()})
        balance = balanced(problem.unknowns, terms_of(freedoms, problem.unknowns, started))
        logarithms = problem.logarithms(balance.values)
        self._step({name: value.exp() for name, value in logarithms.items()})
        if not balance.converged:
            self.unresolved |= {freedom.name: freedom for freedom in freedoms.only("scale").all}
        for unknown, number in zip(problem.unknowns, balance.one_sided, strict=True):
            self.one_sided[unknown.name] = number
        return max((float(value.abs().max()) for value in logarithms.values() if value.numel()), default=0.0)

    def map(self, maps: tuple[Freedom, ...]) -> None:
        """Brings the maps inside of heads into the form of singular values."""
        values = {}
        for freedom in maps:
            found = untwisted(self.spec.freedoms, freedom, self.tensors, tolerance=self.tolerance)
            values[freedom.name], self.loose[freedom.name] = found.value, found.loose
            self.gap = min(self.gap, found.gap)
        self._step(values)
        self.mapped = True

    def sign(self, chosen: tuple[Freedom, ...]) -> None:
        """Fixes signs: those of units, and those that singular vectors are free in."""
        found = leaning(self.spec.freedoms, chosen, self.tensors, tolerance=self.tolerance)
        for freedom in chosen:
            undecided = found.undecided[freedom.name]
            self.loose[freedom.name] = self.loose.get(freedom.name, torch.zeros_like(undecided)) | undecided
        self._step(
            {
                freedom.name: torch.diag_embed(found.values[freedom.name])
                if freedom.matrix
                else found.values[freedom.name]
                for freedom in chosen
            }
        )

    def gauge(self, freedom: Freedom) -> Gauge:
        """What became of a freedom."""
        value = self.total.values[freedom.name]
        if freedom.matrix:
            rest = torch.eye(value.shape[-1], dtype=value.dtype)
            changed = ((value - rest).abs() > self.tolerance).any(-1)
        else:
            changed = (value - 1).abs() > self.tolerance
        loose = int(self.loose[freedom.name].sum()) if freedom.name in self.loose else 0
        return Gauge(
            freedom.name,
            freedom.kind,
            changed.numel(),
            int(changed.sum()),
            self.one_sided.get(freedom.name, 0),
            changed.numel() if freedom.name in self.unresolved else loose,
        )

    def _after(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return Transformation(self.spec, self.spec.identity(), values).apply(self.tensors) if values else self.tensors

    def _step(self, values: Mapping[str, Tensor]) -> None:
        if values:
            self.tensors = self._after(values)
            self.total = self.total.then(Transformation(self.spec, self.spec.identity(), values))
