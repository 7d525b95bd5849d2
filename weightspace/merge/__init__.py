"""Merge networks that were aligned to each other."""

from weightspace.merge.distill import Distilled, distill
from weightspace.merge.interpolate import interpolate, merge_interpolate
from weightspace.merge.merge import Merged, finished, merge
from weightspace.merge.pleas import PASSES, Pleas, pleas
from weightspace.merge.refit import Refitted, refit, refit_in_turn

__all__ = [
    "PASSES",
    "Distilled",
    "Merged",
    "Pleas",
    "Refitted",
    "distill",
    "finished",
    "interpolate",
    "merge",
    "merge_interpolate",
    "pleas",
    "refit",
    "refit_in_turn",
]
