"""Whether two networks are the same, the same up to symmetry, of one lineage, or unrelated; with the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from weightspace.evaluate.units import Recognised

Verdict = Literal["identical", "equivalent", "fine-tuned", "unrelated"]

# Real pairs: as they are stored, independent networks recognise at most 0.05 of their units and related ones at least
# 0.94, even where both were trained on different tasks from one start. Aligned, independent ones reach 0.46.
# README.md has the table.
RELATED = 0.7
# So many units in place by chance, at most: one pair in a thousand. Eight units of one layer are enough.
CHANCE = -3.0
# Random copies of eight networks, scaled, with signs, and with maps inside of heads, come back to 1.4 steps at most.
ROUNDINGS = 4.0
# In half precision a light fine-tune is as near as rounding, so every weight must be: a rescaled one is within a step.
ROUNDINGS_HALF = 2.0
SHRUNK = 0.125  # what is left of the distance where it was symmetry that kept two networks apart
FINE = 1e-6  # steps of types finer than half precision
# Outputs of two networks that are the same but for rounding; in float32 this is 8e-6.
OUTPUT_ROUNDINGS = 64.0
# Without enough units that could stand elsewhere there is no chance to compare with.
COSINE_WITHOUT_UNITS = 0.9


@dataclass(frozen=True)
class Evidence:
    """What a verdict is about.

    Attributes:
        equal: Whether every number is the same (counters of seen batches aside).
        step: Relative distance of neighbouring numbers in the coarsest type of the weights.
        distance: The largest relative distance of a tensor, as they are (`largest_distance`).
        distance_aligned: The same with B aligned; None where there is no network to align by.
        entries_aligned: The largest relative distance of a single weight then.
        cosine: Of all weights, as they are, each matrix by its number of entries.
        cosine_aligned: The same with B aligned.
        units: Units recognised as they are.
        units_aligned: Units recognised once B is aligned.
        outputs: Relative difference of the outputs of A and B on the same inputs; None where they were not run.
    """

    equal: bool
    step: float
    distance: float
    cosine: float | None
    distance_aligned: float | None = None
    entries_aligned: float | None = None
    cosine_aligned: float | None = None
    units: Recognised = field(default_factory=Recognised)
    units_aligned: Recognised = field(default_factory=Recognised)
    outputs: float | None = None

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "equal": self.equal,
            "distance": self.distance,
            "distance_aligned": self.distance_aligned,
            "rounding": self.step,
            "cosine": self.cosine,
            "cosine_aligned": self.cosine_aligned,
            "units": self.units.to_json(),
            "units_aligned": self.units_aligned.to_json(),
            "outputs": self.outputs,
        }


def judge(evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict, and in a sentence why."""
    if evidence.equal:
        return "identical", "every tensor holds the same numbers"
    if _equivalent(evidence):
        return "equivalent", (
            f"aligned, the weights differ by no more than rounding ({evidence.distance_aligned:.1e} of their size, "
            f"{evidence.distance:.1e} as they are)"
        )
    aligned = evidence.units_aligned
    if _same_outputs(evidence) and (aligned.share or 0.0) >= RELATED:
        return "equivalent", (
            f"the outputs differ by no more than rounding ({evidence.outputs:.1e}), and aligned, {aligned.share:.0%} "
            "of the units are recognised"
        )
    return _related(evidence)


def _related(evidence: Evidence) -> tuple[Verdict, str]:
    units, aligned = evidence.units, evidence.units_aligned
    if units.share is None or aligned.share is None:
        return _by_cosine(evidence, "hardly any unit can stand in another place, which leaves little to tell by")
    if units.share >= RELATED and units.log10_chance <= CHANCE:
        return "fine-tuned", (
            f"{units.share:.0%} of the units are recognised where they stand; by chance, with a probability below "
            f"1e{math.ceil(units.log10_chance)}"
        )
    if units.share >= RELATED:
        return _by_cosine(evidence, f"{units.share:.0%} of the units are recognised, but they are too few to tell")
    if aligned.share >= RELATED:
        return "fine-tuned", (
            f"aligned, {aligned.share:.0%} of the units are recognised, as they are {units.share:.0%}: independent "
            "networks stay below half"
        )
    return "unrelated", (
        f"{units.share:.0%} of the units are recognised as they are, {aligned.share:.0%} once aligned: as between "
        "independent networks"
    )


def _by_cosine(evidence: Evidence, why: str) -> tuple[Verdict, str]:
    cosine = evidence.cosine or 0.0
    return ("fine-tuned" if cosine >= COSINE_WITHOUT_UNITS else "unrelated"), f"{why}; the cosine is {cosine:.3f}"


def _equivalent(evidence: Evidence) -> bool:
    distance, entries = evidence.distance_aligned, evidence.entries_aligned
    if distance is None or entries is None:
        return False
    if evidence.step <= FINE:
        return distance <= ROUNDINGS * evidence.step
    return entries <= ROUNDINGS_HALF * evidence.step and distance <= SHRUNK * evidence.distance


def _same_outputs(evidence: Evidence) -> bool:
    fine = evidence.step <= FINE
    return fine and evidence.outputs is not None and evidence.outputs <= OUTPUT_ROUNDINGS * evidence.step
