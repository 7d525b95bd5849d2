"""How alike the units of two networks are on data: one similarity matrix per group, all from one pass.

Both networks run as they are, each in its own coordinates, so the groups do not depend on each other. What is kept of
a batch are the values of A at the taps, until the same taps of B have been reduced with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from weightspace.errors import AlignmentError, DataError
from weightspace.source import Inputs, Program
from weightspace.stats import CrossMoments
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.taps import Depth, Tap, Taps

Measure = Literal["correlation", "product"]


@dataclass(frozen=True)
class Similarities:
    """Similarity of the units of A and B.

    Attributes:
        of: For every group that was seen float64 (copies, m, m): copies are the indices of frozen outer groups, m those
            of movable outer groups and of the group itself, the latter innermost; summed over its taps.
        samples: Examples that were seen.
        taps: Number of places where values were taken.
    """

    of: Mapping[str, Tensor]
    samples: int
    taps: int


def similarities(
    program: Program,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    batches: Iterable[Inputs],
    *,
    depth: Depth = "all",
    measure: Measure = "correlation",
    progress: Callable[[int], None] | None = None,
) -> Similarities:
    """Measures how alike the units of two networks are (Git Re-Basin, Ainsworth et al. 2022, section 3.1).

    Args:
        program: The network.
        a: Weights of the reference, on the device to compute on.
        b: Weights of the other network.
        spec: The symmetry of the network.
        batches: Calls of the network. For a convolution every position is a sample, for a transformer every token.
        depth: Where values are taken, see `weightspace.symmetry.taps.Tap`.
        measure: Pearson correlation, or the mean product E[a b].
        progress: Told how many batches are done.

    Raises:
        DataError: No batch.
        AlignmentError: The network has other groups on these inputs than the spec says, or no activation is finite.
        SourceError: The network runs other operators than its trace.
    """
    moments: dict[tuple[int, int, int], CrossMoments] = {}
    by_place: dict[tuple[int, int, int], str] = {}
    masked: set[tuple[int, int, int]] = set()  # places with infinite values, such as scores of attention under a mask
    groups = {group.name: group for group in spec.all_groups}
    samples = 0
    for done, inputs in enumerate(batches, 1):
        taps = program.taps(inputs)
        if taps.spec.hash != spec.hash:
            raise AlignmentError(
                "the network has other groups on inputs of this shape than its spec says; derive the spec from them"
            )
        chosen = taps.chosen(depth)
        places = _places(chosen)
        held: dict[Tap, Tensor] = {}
        program.visit(a, inputs, chosen, lambda tap, values, held=held: held.update({tap: values.clone()}))

        def reduce(tap: Tap, values: Tensor, held: dict[Tap, Tensor] = held, places: Mapping = places) -> None:
            place = places[tap]
            by_place[place] = tap.group
            pair = [_by_copy(each, groups[tap.group], groups) for each in (held.pop(tap), values)]
            if place not in masked and all(bool(torch.isfinite(each).all()) for each in pair):
                moments.setdefault(place, CrossMoments()).add(*pair)
            else:
                masked.add(place)

        program.visit(b, inputs, chosen, reduce)
        primary = inputs.primary()
        samples += 1 if primary is None else len(primary)
        if progress is not None:
            progress(done)
    if not samples:
        raise DataError("activations: expected at least one batch, found none; give data with examples")
    if by_place and not moments.keys() - masked:
        raise AlignmentError("activations: expected finite values, found NaN or infinity in all of them")
    found: dict[str, Tensor] = {}
    for place in sorted(moments.keys() - masked):
        values = getattr(moments[place], measure)()
        group = by_place[place]
        found[group] = found[group] + values if group in found else values
    return Similarities(found, samples, len(moments.keys() - masked))


def frozen_and_movable(group: Group, groups: Mapping[str, Group]) -> tuple[list[str], list[str]]:
    """The outer groups of a group that stay in place, and those that move, each outermost first."""
    frozen = [name for name in group.depends_on if not groups[name].movable]
    return frozen, [name for name in group.depends_on if groups[name].movable]


def _places(taps: Taps) -> dict[Tap, tuple[int, int, int]]:
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
