"""The result of an alignment: a group element with its report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weightspace.align.noted import UNREADABLE, element_read, read_noted, write_noted
from weightspace.errors import AlignmentError, SpecError
from weightspace.symmetry import Element, Spec, Transformation
from weightspace.views import TensorView

METADATA_KEY = "wsp.alignment"
_VALUE, _NORM = "freedom|", "norm|"  # before names of tensors in the file; permutations bear those of their groups
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
    """What brings B close to A, with what it achieved.

    Attributes:
        spec: The symmetry of the network.
        element: The permutations of B.
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
        values: Values of freedoms beside the permutations, and the norms that are put back with them, as in
            `Transformation`.
        norms: See `values`.
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
    values: Mapping[str, Tensor] = field(default_factory=dict)
    norms: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def transformation(self) -> Transformation:
        """All that acts on B."""
        return Transformation(self.spec, self.element, self.values, self.norms)

    def apply(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Carries weights of B into the coordinates of A; by permutations alone also task vectors, gradients, moments.

        Under further freedoms gradients and moments change in other ways than weights (see `transformation`, with its
        `apply_to_gradients` and `apply_to_squares`), and a task vector is the difference of two sets of weights, each
        carried over.
        """
        return self.transformation.apply(tensors) if self.values else self.spec.apply(self.element, tensors)

    def lazily(self, tensors: Mapping[str, Tensor]) -> TensorView:
        """The same one by one, as the tensors are read from the result: under permutations alone nothing is held."""
        if self.values:
            return TensorView(self.apply(dict(tensors)))
        return TensorView(tensors, change=lambda name, tensor: self.spec.apply_tensor(self.element, name, tensor))

    def inverse(self) -> Transformation:
        """What carries weights back from the coordinates of A into those of B."""
        return self.transformation.inverse()

    def then(self, other: Alignment) -> Transformation:
        """This alignment followed by that of A to something else: B straight into its coordinates.

        Raises:
            SpecError: If the two belong to different networks.
        """
        return self.transformation.then(other.transformation)

    def report(self) -> dict[str, Any]:
        """Everything but permutations and values, as JSON-ready values."""
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
            "freedoms": dict(Counter(self.spec.freedoms.by_name[name].kind for name in self.values)),
            "spec_hash": self.spec.hash,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes permutations and values as safetensors, with the report in the metadata, atomically.

        Raises:
            OutputError: If the folder or the disk refuses.
        """
        path = Path(path)
        values = {
            _VALUE + name: torch.view_as_real(value) if value.is_complex() else value
            for name, value in self.values.items()
        }
        norms = {_NORM + name: norm for name, norm in self.norms.items()}
        write_noted(path, METADATA_KEY, self.report(), {**self.element.perms, **values, **norms})

    @classmethod
    def load(cls, path: str | os.PathLike[str], spec: Spec) -> Alignment:
        """Reads an alignment that `save` wrote.

        Raises:
            AlignmentError: If the file is no alignment, is damaged, or belongs to another spec.
        """
        try:
            report, stored_tensors = read_noted(Path(path), METADATA_KEY)
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
        values, norms = (
            {name.removeprefix(prefix): tensor for name, tensor in stored_tensors.items() if name.startswith(prefix)}
            for prefix in (_VALUE, _NORM)
        )
        perms = {name: tensor for name, tensor in stored_tensors.items() if not name.startswith((_VALUE, _NORM))}
        values = {
            name: torch.view_as_complex(value) if _is_rotary(spec, name) else value for name, value in values.items()
        }
        element = element_read(Path(path), spec, perms)
        result = cls(spec=spec, element=element, groups=groups, values=values, norms=norms, **stored)
        try:
            _ = result.transformation
        except SpecError as error:
            raise AlignmentError(f"{path}: the alignment is damaged ({error}); align again") from error
        return result


def _is_rotary(spec: Spec, name: str) -> bool:
    return name in spec.freedoms.by_name and spec.freedoms.by_name[name].kind == "rotary"
