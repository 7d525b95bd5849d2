"""Merge networks that were aligned to each other."""

from weightspace.merge.combine import combine
from weightspace.merge.distill import Distilled, distill
from weightspace.merge.heads import JointHeads, join_heads
from weightspace.merge.homes import Homes
from weightspace.merge.in_turn import refit_in_turn
from weightspace.merge.interpolate import average, interpolate, merge_interpolate
from weightspace.merge.merge import Merged, finished, merge
from weightspace.merge.partial import least_alike
from weightspace.merge.pleas import PASSES, Pleas, pleas
from weightspace.merge.refit import Refitted, refit
from weightspace.merge.repair import Correction, Repaired, repair
from weightspace.merge.sized import Sized, sized
from weightspace.merge.stored import Stored
from weightspace.merge.wide import Wide
from weightspace.merge.widening import Widening, widening_of
from weightspace.merge.zipping import Zipped, ZippedGroup, groups_after, zipit

__all__ = [
    "PASSES",
    "Correction",
    "Distilled",
    "Homes",
    "JointHeads",
    "Merged",
    "Pleas",
    "Refitted",
    "Repaired",
    "Sized",
    "Stored",
    "Wide",
    "Widening",
    "Zipped",
    "ZippedGroup",
    "average",
    "combine",
    "distill",
    "finished",
    "groups_after",
    "interpolate",
    "join_heads",
    "least_alike",
    "merge",
    "merge_interpolate",
    "pleas",
    "refit",
    "refit_in_turn",
    "repair",
    "sized",
    "widening_of",
    "zipit",
]
