"""One block of the matching objective."""

from __future__ import annotations

from dataclasses import dataclass

from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block


@dataclass(frozen=True, eq=False)
class Term:
    """One block of the objective; its values are with the `Problem`, and may be read anew whenever they are needed.

    Attributes:
        block: The block.
        weight: What its inner product counts in the objective.
    """

    block: Block
    weight: float = 1.0

    def places(self, group: str) -> list[int]:
        """Dimensions of the block that carry a group."""
        return [place for place, dim in enumerate(self.block.dims) if dim.group == group]

    def is_plain(self, group: str) -> bool:
        """Whether the block carries the group once, and neither inside nor outside of another one."""
        places = self.places(group)
        return (
            len(places) == 1
            and not self.block.dims[places[0]].outer
            and not any(places[0] in dim.outer for dim in self.block.dims)
        )


def moving_blocks(spec: Spec) -> list[Block]:
    """The blocks of parameters that some group moves, which the objective is a sum over, in order."""
    movable = {group.name for group in spec.groups}
    return [
        block
        for name, tensor in spec.tensors.items()
        if tensor.kind == "parameter"
        for block in spec.blocks[name]
        if block.groups & movable
    ]
