"""The metanetworks of `weightspace.nn.gmn` with rounds of attention."""

from __future__ import annotations

from weightspace.graph import TAPS
from weightspace.nn.gmn import GraphEditor, GraphPredictor
from weightspace.nn.relational.layer import RelationalLayer


class RelationalPredictor(GraphPredictor):
    """Numbers for every network: invariant under its symmetries.

    Args:
        outputs: How many.
        width: Channels; a multiple of the number of heads, `weightspace.nn.relational.layer.HEADS`.
        layers: Rounds of attention.
        taps: Entries on an edge.
    """

    def __init__(self, outputs: int, width: int = 64, layers: int = 4, *, taps: int = TAPS) -> None:
        super().__init__(outputs, width, layers, taps=taps, layer=RelationalLayer)


class RelationalEditor(GraphEditor):
    """New weights for every network: equivariant under its symmetries.

    Args:
        width: Channels; a multiple of the number of heads, `weightspace.nn.relational.layer.HEADS`.
        layers: Rounds of attention.
        taps: Entries on an edge.
    """

    def __init__(self, width: int = 64, layers: int = 4, *, taps: int = TAPS) -> None:
        super().__init__(width, layers, taps=taps, layer=RelationalLayer)
