"""The units of several networks seen on the same calls: their moments at every tap, from one pass over the data.

What is kept of a batch are the values of all networks but the last, until the same taps of that one are reduced with
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from weightspace.errors import AlignmentError, DataError
from weightspace.source import Inputs, Program
from weightspace.stats import CrossMoments
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.taps import Depth, Tap, Taps

_State = Mapping[str, Tensor]
_Place = tuple[int, int, int]


class Streams:
    """Moments of two streams at every tap.

    Attributes:
        samples: Examples that were seen.
    """

    def __init__(
        self,
        program: Program,
        models: Sequence[_State],
        spec: Spec,
        depth: Depth,
        streams: Callable[[list[Tensor]], tuple[Tensor, Tensor]],
        only: Collection[str] | None = None,
    ) -> None:
        """Prepares for a pass over data.

        Args:
            program: The network.
            models: Weights, on the device to compute on.
            spec: The symmetry of the network.
            depth: Where values are taken, see `weightspace.symmetry.taps.Tap`.
            streams: Makes two streams (samples, copies, m) of the values of the models.
            only: Of which groups; by default of all.
        """
        self._program, self._models, self._spec = program, models, spec
        self._depth: Depth = depth
        self._streams, self._only = streams, only
        self._groups = {group.name: group for group in spec.all_groups}
        self._moments: dict[_Place, CrossMoments] = {}
        self._by_place: dict[_Place, str] = {}
        self._masked: set[_Place] = set()  # with infinite values, such as scores of attention under a mask
        self.samples = 0

    def run(self, batches: Iterable[Inputs], progress: Callable[[int], None] | None) -> None:
        """Runs all models on calls of the network.

        Raises:
            DataError: No batch.
            AlignmentError: The network has other groups on these inputs, or no activation is finite.
            SourceError: The network runs other operators than its trace.
        """
        for done, inputs in enumerate(batches, 1):
            self._add(inputs)
            primary = inputs.primary()
            self.samples += 1 if primary is None else len(primary)
            if progress is not None:
                progress(done)
        if not self.samples:
            raise DataError("activations: expected at least one batch, found none; give data with examples")
        if self._by_place and not self._moments.keys() - self._masked:
            raise AlignmentError("activations: expected finite values, found NaN or infinity in all of them")

    def seen(self) -> list[tuple[str, CrossMoments]]:
        """The moments of every place where all values were finite, with its group."""
        places = sorted(self._moments.keys() - self._masked)
        return [(self._by_place[place], self._moments[place]) for place in places]

    def _add(self, inputs: Inputs) -> None:
        taps = self._program.taps(inputs)
        if taps.spec.hash != self._spec.hash:
            raise AlignmentError(
                "the network has other groups on inputs of this shape than its spec says; derive the spec from them"
            )
        chosen = taps.chosen(self._depth)
        if self._only is not None:
            chosen = replace(chosen, taps=tuple(tap for tap in chosen.taps if tap.group in self._only))
        places = _places(chosen)
        held: dict[Tap, list[Tensor]] = {tap: [] for tap in chosen.taps}
        for model in self._models[:-1]:
            self._program.visit(model, inputs, chosen, lambda tap, values: held[tap].append(values.clone()))
        self._program.visit(
            self._models[-1],
            inputs,
            chosen,
            lambda tap, values: self._reduce(tap, places[tap], [*held.pop(tap), values]),
        )

    def _reduce(self, tap: Tap, place: _Place, values: list[Tensor]) -> None:
        self._by_place[place] = tap.group
        group = self._groups[tap.group]
        arranged = [_by_copy(each, group, self._groups) for each in values]
        if place not in self._masked and all(bool(torch.isfinite(each).all()) for each in arranged):
            self._moments.setdefault(place, CrossMoments()).add(*self._streams(arranged))
        else:
            self._masked.add(place)


def frozen_and_movable(group: Group, groups: Mapping[str, Group]) -> tuple[list[str], list[str]]:
    """The outer groups of a group that stay in place, and those that move, each outermost first."""
    frozen = [name for name in group.depends_on if not groups[name].movable]
    return frozen, [name for name in group.depends_on if groups[name].movable]


def _places(taps: Taps) -> dict[Tap, _Place]:
    """What tells a tap apart in every call, whatever its batch size: operator, output, number among its taps."""
    counts: dict[tuple[int, int], int] = {}
    places = {}
    for tap in taps.taps:
        number = counts.get((tap.number, tap.output), 0)
        counts[tap.number, tap.output] = number + 1
        places[tap] = tap.number, tap.output, number
    return places


def _by_copy(values: Tensor, group: Group, groups: Mapping[str, Group]) -> Tensor:
    """Values (samples, outer..., n) as (samples, copies, m)."""
    frozen, movable = frozen_and_movable(group, groups)
    order = [1 + group.depends_on.index(name) for name in (*frozen, *movable)]
    copies = math.prod(groups[name].size for name in frozen)
    arranged = values.permute(0, *order, values.dim() - 1)
    return arranged.reshape(len(values), copies, -1)
