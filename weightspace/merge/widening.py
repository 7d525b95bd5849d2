"""Which groups of a network may grow, and along which axes its tensors read and make units.

More units in a group are harmless where each is made and read on its own: as many units again are added that nothing
reads, and the outputs must stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.merge.growing import Growable
from weightspace.merge.homes import Homes
from weightspace.merge.separable import Groups, reads_of, refusals
from weightspace.source import Program
from weightspace.symmetry import Spec

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Widening:
    """How a network may grow.

    Attributes:
        reads: The axes along which a tensor is summed over when it acts.
        growable: Its graph, which grows with it.
        groups: Names of the groups that may have more units.
        refused: Why others may not, by name.
    """

    reads: Mapping[str, frozenset[int]]
    growable: Growable
    groups: tuple[str, ...]
    refused: Mapping[str, str]


def widening_of(program: Program, spec: Spec, *, seed: int = 0) -> Widening:
    """Finds out how a network may grow.

    Args:
        program: The network, with weights of its own: they are replaced by random ones in float64.
        spec: Its symmetry.
        seed: Seed of the weights.

    Raises:
        TraceError: The forward pass cannot be recorded.
        SourceError: `torch.export` does not understand the network.
    """
    growable = Growable.of(program)
    reads = reads_of(program.sites(program.inputs))

    def doubled(groups: Groups, _: State) -> tuple[Homes, State]:
        return Homes.partial(spec, {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}), {}

    def run(homes: Homes, state: State) -> list[Tensor]:
        return growable.program(homes).outputs(state)

    refused = refusals(program, spec, reads, doubled, run, more=1, around=True, seed=seed)
    groups = tuple(group.name for group in spec.groups if group.name not in refused)
    return Widening(reads, growable, groups, refused)
