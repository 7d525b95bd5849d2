"""Whether the units of groups are made and read each on its own, so that they may be arranged anew.

What mixes units (norms over them, softmax) makes of each something else as soon as others stand beside it, so that it
is tried: units are arranged so that a network of separate units gives the same outputs as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import SourceError, SpecError
from weightspace.merge.combine import combine
from weightspace.merge.homes import Homes
from weightspace.source import Program
from weightspace.symmetry import Group, Spec, randomized
from weightspace.symmetry.axis import Axis
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.sites import Sites
from weightspace.symmetry.verify import relative_error

State = Mapping[str, Tensor]
Reads = Mapping[str, frozenset[int]]
Groups = Sequence[Group]
TOLERANCE = 1e-9  # of the outputs, in float64

Arrange = Callable[[Groups, State], tuple[Homes, State]]
"""Given groups and the weights of a network: homes of its units and of a stranger's, which nothing reads, and the
weights that are to be others before the outputs must stay as they are."""
Run = Callable[[Homes, State], list[Tensor]]
"""Outputs of the network of some homes."""


def refusals(
    program: Program,
    spec: Spec,
    reads: Reads,
    arrange: Arrange,
    run: Run,
    *,
    more: int,
    around: bool = False,
    seed: int = 0,
) -> dict[str, str]:
    """Tries all groups of a network, together, and each alone where that fails.

    Args:
        program: The network, with weights of its own: they are replaced by random ones in float64.
        spec: Its symmetry.
        reads: See `reads_of`.
        arrange: How units are arranged.
        run: Runs the network with units arranged so.
        more: How many units that adds to a group at least.
        around: Whether groups that others are nested in, such as heads, may be arranged with all that is inside.
        seed: Seed of the weights.

    Returns:
        Why units may not be arranged so, by the name of their group.
    """
    sites = program.sites(program.inputs)
    state, strangers = (randomized(program.state(), spec, seed + offset) for offset in range(2))
    reasons = {group.name: _refusal(spec, sites, group, more, around=around) for group in spec.groups}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    left = [group for group in spec.groups if group.name not in refused]
    before = program.outputs(state)

    def mixing(groups: Groups) -> str | None:
        homes, changed = arrange(groups, state)
        own = {**state, **changed}
        arranged = combine(homes, _beside(spec, reads, own, strangers, groups), reads)
        return _mixing(lambda: run(homes, arranged), program.outputs(own) if changed else before)

    if left and mixing(left) is not None:
        refused |= {group.name: reason for group in left if (reason := mixing([group])) is not None}
    return refused


def reads_of(sites: Sites) -> dict[str, frozenset[int]]:
    """The axis of every weight that its site sums over, and the taps of a kernel beside it."""
    found = {}
    for site in sites.sites:
        if site.convolution is None:
            found[site.weight] = frozenset({site.read})
        else:
            found[site.weight] = frozenset(range(1, 2 + len(site.convolution.kernel)))
    return found


def _refusal(spec: Spec, sites: Sites, group: Group, more: int, *, around: bool) -> str | None:
    """Why the units of a group may not be arranged anew, as far as the spec says."""
    if group.depends_on or (not around and any(group.name in other.depends_on for other in spec.all_groups)):
        return "it is nested with other groups"
    for tensor, axis in spec.occurrences(group.name):
        if tensor not in sites.whole:
            return f"{tensor} is more than the weight or bias of a layer, or of a batch norm"
        try:
            Homes(spec, {group.name: group.size + more}, ()).axis(spec.tensors[tensor].axes[axis])
        except SpecError as error:
            return f"{tensor}: {error}"
    return None


def _beside(spec: Spec, reads: Reads, state: State, strangers: State, groups: Groups) -> tuple[State, State]:
    """A network beside one whose units in some groups are others, that nothing reads."""
    one, other = dict(state), dict(state)
    for tensor in dict.fromkeys(tensor for group in groups for tensor, _ in spec.occurrences(group.name)):
        own = torch.zeros_like(state[tensor], dtype=torch.bool)
        for axis, structure in enumerate(spec.tensors[tensor].axes):
            if axis not in reads.get(tensor, frozenset()):
                own.index_fill_(axis, _units(structure, groups).to(own.device), True)
        one[tensor] = torch.where(own, state[tensor], 2 * state[tensor])  # the mean of this and zero is what it was
        other[tensor] = torch.where(own, strangers[tensor], 0.0)
    return one, other


def _units(axis: Axis, groups: Groups) -> Tensor:
    """The indices of an axis that some groups permute."""
    names = {group.name for group in groups}
    pieces = [piece.index.flatten() for piece in axis_pieces(axis) if names.intersection(piece.groups)]
    return torch.cat([torch.empty(0, dtype=torch.int64), *pieces])


def _mixing(run: Callable[[], list[Tensor]], expected: list[Tensor]) -> str | None:
    """Why units may not be arranged so, as the network shows when they are."""
    try:
        after = run()
    except SpecError as error:
        return str(error)
    except SourceError as error:
        return f"the network does not take more of them ({error})"
    error = relative_error(after, expected)
    return None if error <= TOLERANCE else "something in the network mixes them, such as a norm over all of them"
