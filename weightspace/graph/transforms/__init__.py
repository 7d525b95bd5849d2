"""Weights in canonical or aligned form, as transforms of parameter graphs."""

from weightspace.graph.transforms.align import AlignTo
from weightspace.graph.transforms.canonicalize import Canonicalize
from weightspace.graph.transforms.per_spec import PerSpec

__all__ = ["AlignTo", "Canonicalize", "PerSpec"]
