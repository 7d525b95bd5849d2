"""Alignment by more than permutations: the freedoms of a network, moved towards a reference."""

from weightspace.align.freedoms.requested import freed
from weightspace.align.freedoms.settle import settle_freedoms

__all__ = ["freed", "settle_freedoms"]
