"""Weights in a gauge: every unit that may be scaled has length 1, so that what is left knows no scales.

In a metanetwork that is equivariant to scales a message along a weight is scaled as the unit that it leads to; one
against it needs reciprocals of scales. To divide by features is unstable, and the reference of ScaleGMN (Kalogeropoulos
et al. 2024) leaves the reciprocals out, so that its variant with messages both ways is not equivariant. Here scales are
settled in the weights, before the first message, by what the spec claims of them. Then messages may run along edges and
against them, and invariance is exact.

The scale of a unit is that under which all that makes it (weights, biases, statistics) has length 1 together, once the
scales of what it reads are settled. So one starts with units that read the input and goes on from there. A unit that
nothing makes takes its scale from what reads it. Entries between units that get no scale, because nothing leads to them
and from them nothing leads on, become 0: a scale changes them, and the network does not depend on them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from weightspace.graph import GraphLayout
from weightspace.nn.gmn import Stacked
from weightspace.nn.scale.units import freedoms_of, units_at


@dataclass(frozen=True, eq=False)
class _Action:
    """What scales of one freedom do to a tensor.

    Attributes:
        freedom: Number of the freedom.
        tensor: Name of the tensor.
        units: Which unit acts on every entry, int64 (entries,); the number of units where none does.
        exponent: Power of the scale.
        offset: Of a variance v that is used as (v + offset).
    """

    freedom: int
    tensor: str
    units: Tensor
    exponent: int
    offset: float


class Gauge:
    """Takes the scales that a spec claims out of weights.

    Args:
        layout: Of the parameter graph of the networks.
        device: Where they are.
    """

    def __init__(self, layout: GraphLayout, device: torch.device) -> None:
        scales = freedoms_of(layout, "scale")
        self.units = [math.prod(layout.spec.freedoms.shape(freedom)) for freedom in scales]
        self.acting: dict[str, list[_Action]] = defaultdict(list)
        self.places: list[list[_Action]] = [[] for _ in scales]
        for number, freedom in enumerate(scales):
            for place in freedom.places:
                units = units_at(layout.spec, freedom, place).reshape(-1).to(device)
                action = _Action(number, place.tensor, units, place.exponent, place.offset)
                self.acting[place.tensor].append(action)
                self.places[number].append(action)

    def __call__(self, batch: Stacked) -> Stacked:
        """The same networks in the gauge, of the same types; calculations run in float64, and are differentiable."""
        given = {name: batch.tensors[name] for name in batch.layout.names}
        wide = {name: given[name].double().flatten(1) for name in self.acting}
        found = _Scales(self, wide)
        while found.sweep(makers=True) or found.sweep(makers=False):
            pass
        for name, entries in wide.items():
            offset = self.acting[name][0].offset
            settled = (entries + offset) * found.factors(self.acting[name]) - offset
            given[name] = settled.reshape_as(given[name]).to(given[name].dtype)
        return Stacked(batch.layout, given)


@lru_cache(maxsize=64)
def gauge_of(layout: GraphLayout, device: torch.device) -> Gauge:
    """The gauge of a layout, made once."""
    return Gauge(layout, device)


class _Scales:
    """Logarithms of scales, (networks, units) for each freedom, and which of them are settled."""

    def __init__(self, gauge: Gauge, tensors: dict[str, Tensor]) -> None:
        self.gauge, self.tensors = gauge, tensors
        first = next(iter(tensors.values()), torch.zeros(0, 0))
        self.logarithms = [first.new_zeros(len(first), units) for units in gauge.units]
        self.settled = [torch.zeros_like(each, dtype=torch.bool) for each in self.logarithms]

    def sweep(self, *, makers: bool) -> bool:
        """Settles units by what makes them, or by what reads them; whether there were any."""
        progress = False
        for number, places in enumerate(self.gauge.places):
            chosen = [place for place in places if (place.exponent > 0) == makers]
            if not chosen or bool(self.settled[number].all()):
                continue
            squares = self._squares(number, chosen)
            found = ~self.settled[number] & (squares > 0)
            if bool(found.any()):
                length = torch.where(found, squares, 1).log() / 2
                self.logarithms[number] = torch.where(found, -length if makers else length, self.logarithms[number])
                self.settled[number] = self.settled[number] | found
                progress = True
        return progress

    def _squares(self, number: int, chosen: list[_Action]) -> Tensor:
        """(networks, units): the sum of squares of what scales make or read, each as a first power of the scale."""
        total = torch.zeros_like(self.logarithms[number])
        total = torch.cat([total, total[:, :1]], 1)  # the last for entries without a unit
        for place in chosen:
            others = [each for each in self.gauge.acting[place.tensor] if each is not place]
            entries = ((self.tensors[place.tensor] + place.offset) * self.factors(others)).abs()
            total = total.index_add(1, place.units, entries ** (2 / abs(place.exponent)))
        return total[:, :-1]

    def factors(self, actions: list[_Action]) -> Tensor:
        """What settled scales make of the entries of a tensor, (networks, entries); 0 where some are not settled."""
        factors = torch.ones((), dtype=torch.float64)
        for each in actions:
            scales = torch.where(self.settled[each.freedom], (each.exponent * self.logarithms[each.freedom]).exp(), 0)
            factors = factors * torch.nn.functional.pad(scales, (0, 1), value=1.0)[:, each.units]
        return factors
