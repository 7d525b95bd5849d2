"""The result of an alignment: a group element with its report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from weightspace.align.noted import UNREADABLE, element_read, read_noted, write_noted
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element, Spec
from weightspace.views import TensorView

METADATA_KEY = "wsp.alignment"
_STORED = (
    "method",
    "objective_before",
    "objective_after",
    "objective_bound",
    "preservation_error",
    "sweeps",
    "seconds",
    "seed",
    "figures",
)


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What the alignment did to one group.

    Attributes:
        name: The group.
        size: Number of indices, n.
        copies: How many permutations the group has: one, or one per outer index.
        moved: How many indices change their place, over all copies.
        gain: Objective lost if this group alone were put back into the order of B.
    """

    name: str
    size: int
    copies: int
    moved: int
    gain: float


@dataclass(frozen=True)
class Alignment:
    """A group element that brings B close to A, with what it achieved.

    Attributes:
        spec: The symmetry of the network.
        element: Acts on B.
        method: Name of the method that found it.
        objective_before: Sum over blocks of the inner products of A and B as they were, in the weights of the method.
        objective_after: The same with B aligned.
        objective_bound: What no group element exceeds; None where it was not asked for.
        preservation_error: Relative change of the output of B under the element, measured; None where no network was at
            hand to run.
        groups: One report per movable group.
        sweeps: Passes over all groups, of the best start.
        seconds: Wall time.
        seed: Seed of everything random.
        figures: What else the method measured.
    """

    spec: Spec
    element: Element
    method: str
    objective_before: float
    objective_after: float
    objective_bound: float | None
    preservation_error: float | None
    groups: tuple[GroupReport, ...]
    sweeps: int
    seconds: float
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)

    def apply(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Carries weights, a task vector, gradients or moments of B into the coordinates of A (see `Spec.apply`)."""
        return self.spec.apply(self.element, tensors)

    def lazily(self, tensors: Mapping[str, Tensor]) -> TensorView:
        """The same one by one, as the tensors are read from the result: nothing is held."""
        return TensorView(tensors, change=lambda name, tensor: self.spec.apply_tensor(self.element, name, tensor))

    def report(self) -> dict[str, Any]:
        """Everything but the permutations, as JSON-ready values."""
        return {
            "method": self.method,
            "objective_before": self.objective_before,
            "objective_after": self.objective_after,
            "objective_bound": self.objective_bound,
            "preservation_error": self.preservation_error,
            "groups": [
                {"name": g.name, "size": g.size, "copies": g.copies, "moved": g.moved, "gain": g.gain}
                for g in self.groups
            ],
            "sweeps": self.sweeps,
            "seconds": self.seconds,
            "seed": self.seed,
            "figures": dict(self.figures),
            "spec_hash": self.spec.hash,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the permutations as safetensors, with the report in the metadata, atomically.

        Raises:
            OutputError: If the folder or the disk refuses.
        """
        path = Path(path)
        write_noted(path, METADATA_KEY, self.report(), self.element.perms)

    @classmethod
    def load(cls, path: str | os.PathLike[str], spec: Spec) -> Alignment:
        """Reads an alignment that `save` wrote.

        Raises:
            AlignmentError: If the file is no alignment, is damaged, or belongs to another spec.
        """
        try:
            report, perms = read_noted(Path(path), METADATA_KEY)
            stored = {key: report[key] for key in _STORED}
            groups = tuple(GroupReport(**group) for group in report["groups"])
            spec_hash = report["spec_hash"]
        except UNREADABLE as error:
            raise AlignmentError(f"{path}: expected an alignment that wsp wrote, found none ({error})") from error
        if spec_hash != spec.hash:
            raise AlignmentError(
                f"{path}: the alignment belongs to spec {spec_hash[:12]}, found {spec.hash[:12]}; "
                "align again for this network"
            )
        element = element_read(Path(path), spec, perms)
        return cls(spec=spec, element=element, groups=groups, **stored)
