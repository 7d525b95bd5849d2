"""Which groups of a network may be zipped: several units made one, their places free for others.

Two units of every group that are made alike share one home, a unit that nothing reads moves into the other, and the
outputs must stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.merge.homes import Homes
from weightspace.merge.separable import Groups, refusals
from weightspace.source import Program
from weightspace.symmetry import Spec

State = Mapping[str, Tensor]


def not_zippable(program: Program, spec: Spec, reads: Mapping[str, frozenset[int]], *, seed: int = 0) -> dict[str, str]:
    """Finds out which groups keep every unit with its counterpart.

    Args:
        program: The network, with weights of its own: they are replaced by random ones in float64.
        spec: Its symmetry.
        reads: The axes along which a tensor is summed over when it acts.
        seed: Seed of the weights.

    Returns:
        Why, by name.

    Raises:
        TraceError: The forward pass cannot be recorded.
    """

    def zipped(groups: Groups, state: State) -> tuple[Homes, State]:
        sizes = {group.name: group.size for group in groups}
        own = {name: torch.tensor([0, 0, *range(2, size)]) for name, size in sizes.items()}
        homes = Homes(spec, sizes, (own, {name: torch.ones_like(units) for name, units in own.items()}))
        return homes, _first_twice(spec, reads, homes, state)

    def run(_: Homes, state: State) -> list[Tensor]:
        return program.outputs(state)

    return refusals(program, spec, reads, zipped, run, more=0, seed=seed)


def _first_twice(spec: Spec, reads: Mapping[str, frozenset[int]], homes: Homes, state: State) -> dict[str, Tensor]:
    """The tensors that make the units of some groups, the second of each as the first."""
    changed: dict[str, Tensor] = {}
    for tensor, axis in (place for name in homes.sizes for place in spec.occurrences(name)):
        if axis not in reads.get(tensor, frozenset()):
            source = homes.positions(0, spec.tensors[tensor].axes[axis])
            changed[tensor] = changed.get(tensor, state[tensor]).index_select(axis, source)
    return changed
