"""Freedoms beside the permutations: scales, signs, rotations and invertible maps."""

from weightspace.symmetry.freedom.collect import freedoms_of
from weightspace.symmetry.freedom.freedom import KINDS, Freedom, Freedoms

__all__ = ["KINDS", "Freedom", "Freedoms", "freedoms_of"]
