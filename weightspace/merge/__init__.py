"""Merge networks that were aligned to each other."""

from weightspace.merge.interpolate import interpolate, merge_interpolate
from weightspace.merge.merge import Merged, merge

__all__ = ["Merged", "interpolate", "merge", "merge_interpolate"]
