"""Universal neural functionals: equivariant networks on the weights of any network of one spec (Zhou et al. 2024)."""

from weightspace.nn.unf.backbone import UNF
from weightspace.nn.unf.layer import UNFLayer
from weightspace.nn.unf.layout import Layout
from weightspace.nn.unf.models import EquivariantUNF, InvariantUNF

__all__ = ["UNF", "EquivariantUNF", "InvariantUNF", "Layout", "UNFLayer"]
