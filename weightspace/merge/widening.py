"""Which groups of a network may grow, and along which axes its tensors read and make units.

More units in a group are harmless where each is made and read on its own. What mixes them (norms over them, softmax)
gives another function as soon as there are more, so that it is tried: as many units again are added that nothing reads,
and the outputs must stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SourceError, SpecError
from weightspace.merge.combine import combine
from weightspace.merge.growing import Growable
from weightspace.merge.homes import Homes
from weightspace.source import Program
from weightspace.symmetry import Group, Spec, randomized
from weightspace.symmetry.axis import Axis
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.sites import Sites
from weightspace.symmetry.verify import relative_error

State = Mapping[str, Tensor]
TOLERANCE = 1e-9  # of the outputs, in float64


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
    sites = program.sites(program.inputs)
    reads = reads_of(sites)
    state, strangers = (randomized(program.state(), spec, seed + offset) for offset in range(2))
    expected = program.outputs(state)
    refused = {group.name: reason for group in spec.groups if (reason := _refusal(spec, sites, group)) is not None}
    left = [group for group in spec.groups if group.name not in refused]

    def mixing(groups: list[Group]) -> str | None:
        homes, models = _with_strangers(spec, reads, state, strangers, groups)
        return _mixing(growable, homes, combine(homes, models, reads), expected)

    if left and mixing(left) is not None:
        refused |= {group.name: reason for group in left if (reason := mixing([group])) is not None}
    groups = tuple(group.name for group in spec.groups if group.name not in refused)
    return Widening(reads, growable, groups, refused)


def reads_of(sites: Sites) -> dict[str, frozenset[int]]:
    """The axis of every weight that its site sums over, and the taps of a kernel beside it."""
    found = {}
    for site in sites.sites:
        if site.convolution is None:
            found[site.weight] = frozenset({0 if site.transposed else 1})
        else:
            found[site.weight] = frozenset(range(1, 2 + len(site.convolution.kernel)))
    return found


def _refusal(spec: Spec, sites: Sites, group: Group) -> str | None:
    """Why a group may not grow, as far as the spec says."""
    if group.depends_on or any(group.name in other.depends_on for other in spec.all_groups):
        return "it is nested with other groups"
    for tensor, axis in spec.occurrences(group.name):
        if tensor not in sites.whole:
            return f"{tensor} is more than the weight or bias of a layer, or of a batch norm"
        try:
            Homes(spec, {group.name: group.size + 1}, ()).axis(spec.tensors[tensor].axes[axis])
        except SpecError as error:
            return f"{tensor}: {error}"
    return None


def _with_strangers(
    spec: Spec, reads: Mapping[str, frozenset[int]], state: State, strangers: State, groups: Sequence[Group]
) -> tuple[Homes, tuple[State, State]]:
    """A network beside one whose units in some groups are others, that nothing reads."""
    one, other = dict(state), dict(state)
    for tensor in dict.fromkeys(tensor for group in groups for tensor, _ in spec.occurrences(group.name)):
        own = torch.zeros_like(state[tensor], dtype=torch.bool)
        for axis, structure in enumerate(spec.tensors[tensor].axes):
            if axis not in reads.get(tensor, frozenset()):
                own.index_fill_(axis, _units(structure, groups).to(own.device), True)
        one[tensor] = torch.where(own, state[tensor], 2 * state[tensor])  # the mean of this and zero is what it was
        other[tensor] = torch.where(own, strangers[tensor], 0.0)
    apart = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    return Homes.partial(spec, apart), (one, other)


def _units(axis: Axis, groups: Sequence[Group]) -> Tensor:
    """The indices of an axis that some groups permute."""
    names = {group.name for group in groups}
    pieces = [piece.index.flatten() for piece in axis_pieces(axis) if names.intersection(piece.groups)]
    return torch.cat([torch.empty(0, dtype=torch.int64), *pieces])


def _mixing(growable: Growable, homes: Homes, grown: State, expected: list[Tensor]) -> str | None:
    """Why a group may not grow, as its network shows when it does."""
    try:
        after = growable.program(homes).outputs(grown)
    except SpecError as error:
        return str(error)
    except SourceError as error:
        return f"the network does not take more of them ({error})"
    error = relative_error(after, expected)
    return None if error <= TOLERANCE else "something in the network mixes them, such as a norm over all of them"
