"""Merge networks that were aligned to each other."""

from weightspace.merge.interpolate import interpolate, merge_interpolate
from weightspace.merge.merge import Merged, merge
from weightspace.merge.refit import Refitted, refit, refit_in_turn

__all__ = ["Merged", "Refitted", "interpolate", "merge", "merge_interpolate", "refit", "refit_in_turn"]
