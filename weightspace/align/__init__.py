"""Alignment of one checkpoint to another, or of many, modulo the symmetry of their network."""

from weightspace.align import methods
from weightspace.align.alignment import Alignment, GroupReport
from weightspace.align.check import check_kinds
from weightspace.align.engine import align
from weightspace.align.many import ManyAlignment, align_many
from weightspace.align.method import METHODS, Found, Method, Request, check_method, method

__all__ = [
    "METHODS",
    "Alignment",
    "Found",
    "GroupReport",
    "ManyAlignment",
    "Method",
    "Request",
    "align",
    "align_many",
    "check_kinds",
    "check_method",
    "method",
    "methods",
]
