"""The symmetry specification of a network: which group acts on every axis of every parameter."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from weightspace.atomic import explain_os_errors, new_files
from weightspace.errors import SpecError
from weightspace.symmetry.action import act
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, axis_from_json, axis_to_json, leaves, reasons_in
from weightspace.symmetry.block import Block, tensor_blocks
from weightspace.symmetry.element import Element
from weightspace.symmetry.freedom.freedom import Freedoms
from weightspace.symmetry.group import Group, check_groups
from weightspace.symmetry.uncovered import Uncovered

FORMAT = "weightspace-spec"
VERSION = 1
BOUNDARY_REASONS = ("input", "output", "unused")
# What lies beside the input or output and has no permutation of its own: taps of a kernel, single indices.
BESIDE_BOUNDARY = ("single", "spatial")

TensorKind = Literal["parameter", "buffer", "statistic"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The axes of one tensor of the state dict.

    Attributes:
        axes: One tree per axis.
        kind: A parameter, a buffer, or a running statistic of a normalisation layer (a buffer measured on data).
    """

    axes: tuple[Axis, ...]
    kind: TensorKind = "parameter"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(axis.size for axis in self.axes)


@dataclass(frozen=True, slots=True)
class FrozenAxis:
    """``size`` indices on an axis that no group moves, and why (see `FixedAxis`)."""

    tensor: str
    axis: int
    size: int
    reason: str

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons one by one."""
        return reasons_in(self.reason)


@dataclass(frozen=True, eq=False)
class Spec:
    """Immutable specification of the symmetry of a network.

    Attributes:
        all_groups: The movable groups, and ordered (frozen) ones that serve only as the outer index of others.
        tensors: Axes of every tensor of the state dict, by name.
        aliases: Other names of tied tensors: alias -> name in ``tensors``.
        uncovered: Operators without a rule, which froze what they touch.
        freedoms: What is free beside the permutations: scales, signs, rotations, invertible maps.
        looks: Lines of the network's code that ask for values of a floating input: where these lead another way than
            those of the example did, nothing is claimed.

    Raises:
        SpecError: If the groups and axes do not fit together.
    """

    all_groups: tuple[Group, ...]
    tensors: Mapping[str, TensorSpec]
    aliases: Mapping[str, str]
    uncovered: tuple[Uncovered, ...] = ()
    freedoms: Freedoms = field(default_factory=Freedoms)
    looks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_groups(self.all_groups)
        for alias, name in self.aliases.items():
            if name not in self.tensors or alias in self.tensors:
                raise SpecError(f"tensor '{alias}': an alias must name a tensor of the spec, found '{name}'")
        _ = self.blocks

    # ------------------------------------------------------------------ reading

    @property
    def groups(self) -> tuple[Group, ...]:
        """The movable groups."""
        return tuple(group for group in self.all_groups if group.movable)

    @cached_property
    def blocks(self) -> Mapping[str, tuple[Block, ...]]:
        """The normal form: the dense blocks of every tensor."""
        known = {group.name: group for group in self.all_groups}
        return {name: tensor_blocks(name, tensor.axes, known) for name, tensor in self.tensors.items()}

    def occurrences(self, group: str) -> list[tuple[str, int]]:
        """(tensor, axis) pairs that carry a group, in the order of the state dict."""
        return self._occurrences.get(group, [])

    @cached_property
    def _occurrences(self) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, dict[tuple[str, int], None]] = {}
        for name, number, leaf in self._leaves():
            if isinstance(leaf, GroupAxis):
                found.setdefault(leaf.group, {})[name, number] = None
        return {group: list(where) for group, where in found.items()}

    def _leaves(self) -> Iterator[tuple[str, int, GroupAxis | FixedAxis]]:
        for name, tensor in self.tensors.items():
            for number, axis in enumerate(tensor.axes):
                for leaf in leaves(axis):
                    yield name, number, leaf

    @cached_property
    def frozen(self) -> tuple[FrozenAxis, ...]:
        """Stretches of axes that nothing moves, with the reason; axes of size 1 are not listed."""
        ordered = {group.name: group for group in self.all_groups if not group.movable}
        found = []
        for name, number, leaf in self._leaves():
            if isinstance(leaf, FixedAxis) and leaf.size > 1:
                found.append(FrozenAxis(name, number, leaf.size, leaf.reason))
            elif isinstance(leaf, GroupAxis) and leaf.group in ordered:
                found.append(FrozenAxis(name, number, leaf.size, "ordered"))
        return tuple(found)

    @cached_property
    def completeness(self) -> float:
        """Share of parameter elements on at least one movable axis.

        Elements all of whose axes are frozen only because they touch the input or the output are not counted; neither
        are the taps of a kernel between the two, nor weights that no output depends on.
        """
        movable = {group.name for group in self.groups}
        covered = counted = 0
        for name, tensor in self.tensors.items():
            if tensor.kind != "parameter":
                continue
            for block in self.blocks[name]:
                size = math.prod(block.shape)
                if block.groups & movable:
                    covered += size
                    counted += size
                elif not self._only_boundary(tensor):
                    counted += size
        return covered / counted if counted else 1.0

    @staticmethod
    def _only_boundary(tensor: TensorSpec) -> bool:
        reasons = [
            reason
            for axis in tensor.axes
            for leaf in leaves(axis)
            if isinstance(leaf, FixedAxis) and leaf.size > 1
            for reason in leaf.reasons
        ]
        return any(reason in BOUNDARY_REASONS for reason in reasons) and all(
            reason in BOUNDARY_REASONS + BESIDE_BOUNDARY for reason in reasons
        )

    # ------------------------------------------------------------------ the action

    def identity(self) -> Element:
        """The element that moves nothing."""
        return Element.identity(self.all_groups)

    def random_element(self, generator: torch.Generator) -> Element:
        """A uniformly random group element."""
        return Element.random(self.all_groups, generator)

    def apply(self, element: Element, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Applies a group element to a state dict, task vector, gradients or moments.

        Args:
            element: An element of this spec's groups.
            tensors: Tensors by name; aliases of tied tensors may be among them. Names that the spec does not know pass
                through unchanged.

        Returns:
            A new dictionary in the same order; tensors that do not move are the same objects.

        Raises:
            SpecError: If the element belongs to other groups or a tensor has another shape than the spec says.
        """
        if element.groups != self.all_groups:
            raise SpecError("the group element belongs to another spec")
        return {name: self.apply_tensor(element, name, tensor) for name, tensor in tensors.items()}

    def apply_tensor(self, element: Element, name: str, tensor: Tensor) -> Tensor:
        """Applies a group element to one tensor of the state dict (see `apply`)."""
        name = self.aliases.get(name, name)
        known = self.tensors.get(name)
        if known is None:
            return tensor
        if tuple(tensor.shape) != known.shape:
            raise SpecError(f"tensor '{name}': the spec expects shape {known.shape}, found {tuple(tensor.shape)}")
        return act(self.blocks[name], element, tensor)

    # ------------------------------------------------------------------ serialisation

    def to_json(self) -> dict[str, Any]:
        """Returns the whole spec as JSON-ready values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "groups": [group.to_json() for group in self.all_groups],
            "tensors": {
                name: {"kind": tensor.kind, "axes": [axis_to_json(axis) for axis in tensor.axes]}
                for name, tensor in self.tensors.items()
            },
            "aliases": dict(self.aliases),
            "uncovered": [operator.to_json() for operator in self.uncovered],
            **({"freedoms": self.freedoms.to_json()} if self.freedoms.all else {}),
            **({"looks": list(self.looks)} if self.looks else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        """Inverse of `to_json`.

        Raises:
            SpecError: If the document is not a spec of this version or its parts do not fit together.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise SpecError(
                f"expected a JSON document of format '{FORMAT}', found something else; write one with wsp spec -o"
            )
        if data.get("version") != VERSION:
            raise SpecError(
                f"expected spec version {VERSION}, found {data.get('version')}; derive it again with wsp spec"
            )
        try:
            return cls(
                tuple(Group.from_json(group) for group in data["groups"]),
                {
                    str(name): TensorSpec(tuple(axis_from_json(axis) for axis in tensor["axes"]), tensor["kind"])
                    for name, tensor in data["tensors"].items()
                },
                {str(alias): str(name) for alias, name in data["aliases"].items()},
                tuple(Uncovered.from_json(operator) for operator in data.get("uncovered", ())),
                Freedoms.from_json(data["freedoms"]) if "freedoms" in data else Freedoms(),
                tuple(map(str, data.get("looks", ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpecError(f"the spec document is damaged ({error!r}); derive it again with wsp spec") from error

    @cached_property
    def hash(self) -> str:
        """SHA-256 of which permutation acts on what; freedoms, and what froze the rest and where, do not count."""
        content = {key: value for key, value in self.to_json().items() if key not in ("freedoms", "looks", "uncovered")}
        document = json.dumps(_without_reasons(content), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(document.encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the spec as JSON, atomically.

        Raises:
            OutputError: If the folder or the disk refuses.
        """
        path = Path(path)
        with new_files(path) as (temporary,), explain_os_errors(path):
            temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Spec:
        """Reads a spec that `save` wrote.

        Raises:
            SpecError: If the file is not a spec.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpecError(f"{path}: expected a spec in JSON, found none ({error})") from error
        try:
            return cls.from_json(data)
        except SpecError as error:
            raise SpecError(f"{path}: {error}") from error


def _without_reasons(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_reasons(item) for key, item in value.items() if key != "reason"}
    if isinstance(value, list):
        return [_without_reasons(item) for item in value]
    return value
