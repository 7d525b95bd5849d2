"""Canonical form: one representative of every orbit of equivalent weights, without a reference."""

from weightspace.canonical.canonical import Canonical, Gauge, Sorted
from weightspace.canonical.canonicalize import DEFAULT_KINDS, SUPPORTED, canonicalize, check_kinds
from weightspace.canonical.order import Ties

__all__ = [
    "DEFAULT_KINDS",
    "SUPPORTED",
    "Canonical",
    "Gauge",
    "Sorted",
    "Ties",
    "canonicalize",
    "check_kinds",
]
