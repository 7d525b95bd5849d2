"""Alignment of one checkpoint to another modulo the symmetry of their network."""

from weightspace.align import methods
from weightspace.align.alignment import Alignment, GroupReport
from weightspace.align.engine import align
from weightspace.align.method import METHODS, Found, Method, Request, check_method, method
from weightspace.align.problem import DEFAULT_MEMORY

__all__ = [
    "DEFAULT_MEMORY",
    "METHODS",
    "Alignment",
    "Found",
    "GroupReport",
    "Method",
    "Request",
    "align",
    "check_method",
    "method",
    "methods",
]
