"""How alike the units of networks are on data: one similarity matrix per group, all from one pass.

The networks run as they are, each in its own coordinates, so the groups do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from weightspace.align.streams import Streams
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec
from weightspace.symmetry.taps import Depth

Measure = Literal["correlation", "product"]


@dataclass(frozen=True)
class Similarities:
    """Similarity of the units of networks.

    Attributes:
        of: For every group that was seen float64 (copies, m, m): copies are the indices of frozen outer groups, m those
            of movable outer groups and of the group itself, the latter innermost; summed over its taps. Units of A in
            rows, of B in columns; or in both the units of all networks, one network after the other.
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
    found = Streams(program, (a, b), spec, depth, lambda values: (values[0], values[1]))
    found.run(batches, progress)
    return _summed(found, measure)


def joint_similarities(
    program: Program,
    models: Sequence[Mapping[str, Tensor]],
    spec: Spec,
    batches: Iterable[Inputs],
    *,
    groups: Collection[str] | None = None,
    depth: Depth = "all",
    progress: Callable[[int], None] | None = None,
) -> Similarities:
    """Correlations of all units of some networks, within and across (ZipIt: Stoica et al. 2023, section 4.2).

    Args:
        program: The network.
        models: Weights of the networks, on the device to compute on.
        spec: The symmetry of the network.
        batches: As for `similarities`.
        groups: Of which groups; by default of all.
        depth: As for `similarities`.
        progress: Told how many batches are done.

    Raises:
        DataError: As for `similarities`, and so are the others.
        AlignmentError: Likewise.
        SourceError: Likewise.
    """

    def together(values: list[Tensor]) -> tuple[Tensor, Tensor]:
        both = torch.cat(values, -1)
        return both, both

    found = Streams(program, models, spec, depth, together, groups)
    found.run(batches, progress)
    return _summed(found, "correlation")


def _summed(streams: Streams, measure: Measure) -> Similarities:
    of: dict[str, Tensor] = {}
    seen = streams.seen()
    for group, moments in seen:
        values = getattr(moments, measure)()
        of[group] = of[group] + values if group in of else values
    return Similarities(of, streams.samples, len(seen))
