"""Scale and sign symmetries: canonical forms of elements, and layers that respect them (ScaleGMN).

Elements have their channels last; a scale or sign acts on all channels of an element together.
"""

from weightspace.nn.scale.canonical import CanonicalScale, CanonicalSign, canonical_scale
from weightspace.nn.scale.layers import EquivariantLayer, EquivariantProduct, Freedom, InvariantLayer

__all__ = [
    "CanonicalScale",
    "CanonicalSign",
    "EquivariantLayer",
    "EquivariantProduct",
    "Freedom",
    "InvariantLayer",
    "canonical_scale",
]
