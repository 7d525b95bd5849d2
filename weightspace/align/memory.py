"""How much memory a matching problem asks for: that of the group that needs most, whatever the depth of the network."""

from __future__ import annotations

import math

from weightspace.align.term import moving_blocks
from weightspace.symmetry import Spec

SMALLEST = 1 << 30  # bytes; smaller networks are held whole
_FLOAT32 = 4


def working_set(spec: Spec) -> int:
    """Bytes that the step of one group cannot do without, for the group that needs most.

    They are the costs of the group and its largest block in A and in B, in float32: blocks come one after the other.
    """
    largest: dict[str, int] = {}
    for block in moving_blocks(spec):
        for group in block.groups:
            largest[group] = max(largest.get(group, 0), math.prod(block.shape))
    sizes = {group.name: group.size for group in spec.all_groups}
    return max(
        (
            _FLOAT32
            * (2 * largest.get(group.name, 0) + math.prod(sizes[name] for name in group.depends_on) * group.size**2)
            for group in spec.groups
        ),
        default=0,
    )


def default_memory(spec: Spec) -> int:
    """Bytes of blocks and costs to hold: twice the largest working set, and `SMALLEST` at least.

    By the network alone, not by the machine, so that equal calls do equal work everywhere.
    """
    return max(SMALLEST, 2 * working_set(spec))
