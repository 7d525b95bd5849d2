"""How large a merged network is, by the share of the units of every group that is kept apart.

Between units that are merged a weight is as large as in one network; where one side is kept apart it is there once for
every network, and between units of different networks there is nothing: with shares r and s kept apart on its two
sides a weight of N networks has 1 + (N - 1) (r + s - r s) times its size.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from weightspace.source import Program
from weightspace.source.watching import Passing
from weightspace.symmetry import Spec
from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.sites import Site

Measure = Literal["parameters", "flops"]
Pieces = list[tuple[str | None, int]]  # a group and how many indices it carries


@dataclass(frozen=True)
class Size:
    """The size of a network as a function of the shares that are kept apart.

    Attributes:
        measure: Parameters, or FLOPs of the multiplications by parameters for one example.
        amounts: What lies between two groups at the size of one network; None stands for what does not grow.
        networks: How many networks are merged.
    """

    measure: Measure
    amounts: Mapping[tuple[str | None, str | None], float]
    networks: int = 2

    @property
    def one(self) -> float:
        """The size of one network."""
        return sum(self.amounts.values())

    def at(self, shares: Mapping[str, float]) -> float:
        """The size with some shares kept apart, of groups that are not named none."""
        total = 0.0
        for (made, read), amount in self.amounts.items():
            r, s = (0.0 if group is None else shares.get(group, 0.0) for group in (made, read))
            total += amount * (1 + (self.networks - 1) * (r + s - r * s))
        return total


def size_of(
    program: Program,
    spec: Spec,
    reads: Mapping[str, frozenset[int]],
    measure: Measure = "parameters",
    networks: int = 2,
) -> Size:
    """Measures a network.

    Args:
        program: The network.
        spec: Its symmetry.
        reads: The axes along which a tensor is summed over, see `weightspace.merge.widening.Widening`.
        measure: What counts.
        networks: How many networks are merged.
    """
    uses = dict.fromkeys(program.parameter_names, 1.0) if measure == "parameters" else _uses(program)
    amounts: dict[tuple[str | None, str | None], float] = defaultdict(float)
    for name, count in uses.items():
        known = spec.tensors.get(spec.aliases.get(name, name))
        if known is None:
            amounts[None, None] += count * program.state()[name].numel()
            continue
        into = reads.get(name, frozenset())
        sides: list[Pieces] = [[(None, 1)], [(None, 1)]]
        for axis, structure in enumerate(known.axes):
            pieces: Pieces = []
            for piece in axis_pieces(structure):
                groups = [group for group in piece.groups if group is not None]
                pieces.append((groups[0] if groups else None, math.prod(piece.index.shape)))
            side = int(axis in into)
            sides[side] = [(g or h, n * m) for g, n in sides[side] for h, m in pieces]
        for made, n in sides[0]:
            for read, m in sides[1]:
                amounts[made, read] += count * n * m
    return Size(measure, amounts, networks)


def _uses(program: Program) -> dict[str, float]:
    """FLOPs per entry of every weight, for one example."""
    found: dict[str, float] = {}
    sites = program.sites(program.inputs)
    primary = program.inputs.primary()
    examples = 1 if primary is None else len(primary)

    def add(site: Site, passing: Passing) -> None:
        made = passing.output.shape[1]
        found[site.weight] = found.get(site.weight, 0.0) + 2 * passing.output.numel() / made / examples

    program.watch(program.state(), program.inputs, sites, sites.sites, add)
    return found
