"""The result of aligning many networks: an element for each, into one universe."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weightspace.align.noted import UNREADABLE, element_read, read_noted, write_noted
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element, Spec

METADATA_KEY = "wsp.many-alignment"
_STORED = "method", "objective_before", "objective_after", "seconds", "seed", "figures"


@dataclass(frozen=True)
class ManyAlignment:
    """Group elements that bring several networks into one universe, that of the first of them.

    Attributes:
        spec: The symmetry of the networks.
        elements: One for each network; that of the first moves nothing.
        method: Name of the method that found them.
        objective_before: Sum of inner products over all pairs of networks as they were, in balanced blocks.
        objective_after: The same with all networks in the universe.
        seconds: Wall time.
        seed: Seed of everything random.
        figures: What else the method measured.
    """

    spec: Spec
    elements: tuple[Element, ...]
    method: str
    objective_before: float
    objective_after: float
    seconds: float
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)

    def apply(self, index: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Brings weights, a task vector, gradients or moments of one network into the universe (see `Spec.apply`)."""
        return self.spec.apply(self.elements[index], tensors)

    def pair(self, i: int, j: int) -> Element:
        """The element that brings network j into the coordinates of network i, through the universe.

        Cycles close by construction: the elements from i to j, j to k and k to i make the identity.
        """
        return self.elements[j].then(self.elements[i].inverse())

    def mean(self, states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The mean of all networks in the universe.

        Args:
            states: The networks, in the order in which they were aligned.

        Returns:
            Every floating tensor in the wider of its dtype in the first network and float32; others (counters, indices)
            as in the first. Running statistics of batch norms are averaged like everything else: measure them again
            (`weightspace.stats.reset_batchnorm`).

        Raises:
            AlignmentError: Another number of networks.
        """
        if len(states) != len(self.elements):
            raise AlignmentError(f"mean: expected {len(self.elements)} networks as aligned, found {len(states)}")
        first = self.apply(0, states[0])
        total = {name: tensor.double() for name, tensor in first.items() if tensor.is_floating_point()}
        for index in range(1, len(states)):
            moved = self.apply(index, states[index])
            total = {name: tensor + moved[name].to(tensor) for name, tensor in total.items()}
        mean = {
            name: (tensor / len(states)).to(torch.promote_types(first[name].dtype, torch.float32))
            for name, tensor in total.items()
        }
        return {name: mean.get(name, tensor) for name, tensor in first.items()}

    def report(self) -> dict[str, Any]:
        """Everything but the permutations, as JSON-ready values."""
        stored = {key: getattr(self, key) for key in _STORED}
        return {**stored, "figures": dict(self.figures), "networks": len(self.elements), "spec_hash": self.spec.hash}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the permutations as safetensors, with the report in the metadata, atomically.

        Raises:
            OutputError: If the folder or the disk refuses.
        """
        path = Path(path)
        perms = {
            f"{index}:{name}": perm
            for index, element in enumerate(self.elements)
            for name, perm in element.perms.items()
        }
        write_noted(path, METADATA_KEY, self.report(), perms)

    @classmethod
    def load(cls, path: str | os.PathLike[str], spec: Spec) -> ManyAlignment:
        """Reads an alignment that `save` wrote.

        Raises:
            AlignmentError: If the file is no alignment of many networks, is damaged, or belongs to another spec.
        """
        try:
            report, tensors = read_noted(Path(path), METADATA_KEY)
            perms: list[dict[str, Tensor]] = [{} for _ in range(report["networks"])]
            for key, perm in tensors.items():
                index, name = key.split(":", 1)
                perms[int(index)][name] = perm
            stored = {key: report[key] for key in _STORED}
            spec_hash = report["spec_hash"]
        except UNREADABLE as error:
            raise AlignmentError(f"{path}: expected an alignment of many networks, found none ({error})") from error
        if spec_hash != spec.hash:
            raise AlignmentError(
                f"{path}: the alignment belongs to spec {spec_hash[:12]}, found {spec.hash[:12]}; "
                "align again for these networks"
            )
        elements = tuple(element_read(Path(path), spec, each) for each in perms)
        return cls(spec=spec, elements=elements, **stored)
