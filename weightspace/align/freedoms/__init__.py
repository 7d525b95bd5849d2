"""Alignment by more than permutations: the freedoms of a network, moved towards a reference."""

from weightspace.align.freedoms.settle import check_kinds, settle_freedoms

__all__ = ["check_kinds", "settle_freedoms"]
