"""Canonical form: one representative of every orbit of equivalent weights, without a reference."""

from weightspace.canonical.canonicalize import DEFAULT_KINDS, SUPPORTED, Canonical, Gauge, Sorted, canonicalize
from weightspace.canonical.order import Ties

__all__ = ["DEFAULT_KINDS", "SUPPORTED", "Canonical", "Gauge", "Sorted", "Ties", "canonicalize"]
