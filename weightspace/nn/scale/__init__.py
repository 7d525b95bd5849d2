"""Scale and sign symmetries: canonical forms of elements, layers that respect them, and metanetworks (ScaleGMN).

Elements have their channels last; a scale or sign acts on all channels of an element together.
"""

from weightspace.nn.scale.canonical import CanonicalScale, CanonicalSign, canonical_scale
from weightspace.nn.scale.encoder import ScaleEncoder
from weightspace.nn.scale.layers import EquivariantLayer, EquivariantProduct, Freedom, InvariantLayer
from weightspace.nn.scale.predictor import ScalePredictor

__all__ = [
    "CanonicalScale",
    "CanonicalSign",
    "EquivariantLayer",
    "EquivariantProduct",
    "Freedom",
    "InvariantLayer",
    "ScaleEncoder",
    "ScalePredictor",
    "canonical_scale",
]
