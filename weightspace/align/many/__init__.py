"""Alignment of many checkpoints at once, each into one common universe."""

from weightspace.align.many.engine import METHODS, align_many
from weightspace.align.many.result import ManyAlignment

__all__ = ["METHODS", "ManyAlignment", "align_many"]
