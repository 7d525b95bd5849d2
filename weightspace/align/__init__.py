"""Alignment of one checkpoint to another modulo the symmetry of their network."""

from weightspace.align.alignment import Alignment, GroupReport
from weightspace.align.engine import METHODS, align, check_method

__all__ = ["METHODS", "Alignment", "GroupReport", "align", "check_method"]
