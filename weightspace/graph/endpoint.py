"""Which nodes the dimensions of a block stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weightspace.symmetry.block import Block


@dataclass(frozen=True)
class Tip:
    """One set of nodes: of a group, or of an axis that stays in place.

    Attributes:
        key: What it is, the same wherever it occurs: ("group", name), or ("fixed", ...).
        dims: Dimensions of the block that say which node, (outer..., own).
    """

    key: tuple[object, ...]
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Endpoint:
    """An end of an edge: the nodes of one tip, or combinations of those of several.

    Attributes:
        tips: The sets.
    """

    tips: tuple[Tip, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """Dimensions of the block that say which node."""
        return tuple(dict.fromkeys(dim for tip in self.tips for dim in tip.dims))

    @property
    def key(self) -> tuple[object, ...]:
        """What it is, the same wherever it occurs."""
        if len(self.tips) == 1:
            return self.tips[0].key
        # Of two that depend on one outer group it counts whether they lie at the same index of it.
        places = {dim: place for place, dim in enumerate(self.dims)}
        return ("product", *((tip.key, tuple(places[dim] for dim in tip.dims)) for tip in self.tips))


def endpoints(block: Block) -> tuple[Endpoint, ...]:
    """The ends of the edges that carry a block: none for a scalar, one for a vector, else two.

    Every axis is one end. Several groups on it that are no outer index of each other make a product; where more than
    two axes have groups all but the last are taken together. Of indices that nothing moves those on the first two axes
    are nodes where they are alone on their stretch of the axis; others tell apart entries on one edge (`taps`).
    """
    axis_of = [axis for axis, piece in enumerate(block.pieces) for _ in piece.groups]
    nodes = [dim for dim in range(len(block.dims)) if not _is_tap(block, axis_of, dim)]
    outer = {above for dim in nodes for above in block.dims[dim].outer}
    by_axis: dict[int, list[Tip]] = {}
    for dim in nodes:
        if dim not in outer:
            by_axis.setdefault(axis_of[dim], []).append(_tip(block, axis_of[dim], dim))
    ends = [Endpoint(tuple(tips)) for tips in by_axis.values()]
    if len(ends) > 2:
        ends = [Endpoint(tuple(tip for end in ends[:-1] for tip in end.tips)), ends[-1]]
    return tuple(ends)


def taps(block: Block, ends: Sequence[Endpoint]) -> tuple[int, ...]:
    """Dimensions that tell apart entries on one edge."""
    used = {dim for end in ends for dim in end.dims}
    return tuple(dim for dim in range(len(block.dims)) if dim not in used)


def _is_tap(block: Block, axis_of: Sequence[int], dim: int) -> bool:
    if block.dims[dim].group is not None:
        return False
    return block.dims[dim].size == 1 or axis_of[dim] > 1 or len(block.pieces[axis_of[dim]].groups) > 1


def _tip(block: Block, axis: int, dim: int) -> Tip:
    group = block.dims[dim].group
    if group is not None:
        return Tip(("group", group), (*block.dims[dim].outer, dim))
    # A layer's weight and bias have their outputs, which stay in place, in common. To take two such axes for one is
    # never wrong: all their nodes are told apart.
    layer = block.tensor.rpartition(".")[0]
    return Tip(("fixed", layer, axis, int(block.pieces[axis].index.reshape(-1)[0]), block.dims[dim].size), (dim,))
