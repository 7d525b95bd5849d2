"""Symmetry of networks: derived from a trace, written as a spec, applied to weights, verified numerically."""

from weightspace.symmetry.derive import derive
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec, TensorSpec
from weightspace.symmetry.transformation import Transformation
from weightspace.symmetry.verify import Verification, randomized, verify
from weightspace.symmetry.verify_freedoms import verify_freedoms

__all__ = [
    "Element",
    "Group",
    "Spec",
    "TensorSpec",
    "Transformation",
    "Verification",
    "derive",
    "randomized",
    "verify",
    "verify_freedoms",
]
