"""Freedoms: continuous and sign symmetries of a network, beside the permutations.

A freedom of a group lets every unit, or the space that its units span, be changed by a factor, a sign or a matrix of
its own; where other tensors carry the group, they change by a power of it. One group can carry several, such as the
scales before and after a batch norm.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from weightspace.errors import SpecError
from weightspace.symmetry.axis import Axis, axis_from_json, axis_to_json
from weightspace.symmetry.block import Block, tensor_blocks
from weightspace.symmetry.freedom.turn import Turn
from weightspace.symmetry.group import Group, check_groups

Kind: TypeAlias = Literal["scale", "sign", "linear", "rotation", "rotary"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Place:
    """A dimension of a block of a tensor that a freedom acts on.

    Attributes:
        tensor: Name in the state dict.
        block: Number of the block (see `Freedoms.blocks`).
        dim: Dimension of the block.
        exponent: Power of the factor; for a matrix M, 1 says M and -1 says its inverse transposed.
        offset: For a variance v that is used as (v + offset): v becomes s^exponent (v + offset) - offset.
    """

    tensor: str
    block: int
    dim: int
    exponent: int = 1
    offset: float = 0.0

    @property
    def dual(self) -> Place:
        """The place as gradients see it."""
        return Place(self.tensor, self.block, self.dim, -self.exponent)


@dataclass(frozen=True, slots=True)
class Fold:
    """A scale and shift after a normalisation, to be folded into the matrices that read it before a rotation.

    Attributes:
        scale: Name of the scale, which becomes 1.
        shift: Name of the shift, which becomes 0 where biases take it up, and else is divided by the scale; None where
            there is none.
        readers: For every reading matrix its place, and the bias that takes up the shift; None where none does.
    """

    scale: str
    shift: str | None
    readers: tuple[tuple[Place, str | None], ...]

    @property
    def keeps_shift(self) -> bool:
        """Whether there is a shift that no biases take up: it stays, and turns with the stream."""
        return self.shift is not None and any(bias is None for _, bias in self.readers)

    @property
    def touched(self) -> set[str]:
        """Names of the tensors that folding changes."""
        names = {self.scale, self.shift, *itertools.chain(*((place.tensor, bias) for place, bias in self.readers))}
        return {name for name in names if name is not None}


@dataclass(frozen=True, slots=True)
class Freedom:
    """One freedom of a group.

    Attributes:
        name: Unique among the freedoms of a network.
        kind: ``scale``: a positive factor per unit. ``sign``: a sign per unit. ``linear``: an invertible matrix over
            the units, and its inverse transposed where they are read. ``rotation``: an orthogonal matrix over them.
            ``rotary``: a complex number per frequency of a rotary embedding, whose units are pairs of dimensions.
        group: The group whose units these are; with ``depends_on``, one factor or matrix per outer index.
        places: What it acts on, each with its exponent.
        centred: For a rotation: the vector of ones must stay where it is, since a mean over the units is taken.
        folds: For a rotation: what is folded away first.
        turns: For a rotary freedom: the pairs that it turns, instead of places.
    """

    name: str
    kind: Kind
    group: str
    places: tuple[Place, ...]
    centred: bool = False
    folds: tuple[Fold, ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def matrix(self) -> bool:
        """Whether it acts by a matrix over the units, not by a number per unit."""
        return self.kind in ("linear", "rotation")

    def to_json(self) -> dict[str, Any]:
        """Returns the freedom as JSON-ready values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "group": self.group,
            "places": [_place_to_json(place) for place in self.places],
            "centred": self.centred,
            "folds": [
                {
                    "scale": fold.scale,
                    "shift": fold.shift,
                    "readers": [[_place_to_json(place), bias] for place, bias in fold.readers],
                }
                for fold in self.folds
            ],
            "turns": [turn.to_json() for turn in self.turns],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Freedom:
        """Inverse of `to_json`."""
        if data["kind"] not in KINDS:
            raise SpecError(f"freedom '{data['name']}': expected one of {', '.join(KINDS)}, found '{data['kind']}'")
        return cls(
            str(data["name"]),
            data["kind"],
            str(data["group"]),
            tuple(_place_from_json(place) for place in data["places"]),
            bool(data["centred"]),
            tuple(
                Fold(
                    fold["scale"],
                    fold["shift"],
                    tuple((_place_from_json(place), bias) for place, bias in fold["readers"]),
                )
                for fold in data["folds"]
            ),
            tuple(Turn.from_json(turn) for turn in data["turns"]),
        )


def _place_to_json(place: Place) -> list[Any]:
    return [place.tensor, place.block, place.dim, place.exponent, place.offset]


def _place_from_json(data: list[Any]) -> Place:
    tensor, block, dim, exponent, offset = data
    return Place(str(tensor), int(block), int(dim), int(exponent), float(offset))


@dataclass(frozen=True, eq=False)
class Freedoms:
    """All freedoms of a network.

    Attributes:
        groups: The groups whose units the freedoms change, and the outer groups of these. Groups that the permutations
            have too bear the same names.
        axes: Axes of the tensors that some freedom changes. Ordered stretches of the permutations may be units here.
        all: The freedoms.

    Raises:
        SpecError: If places, groups and axes do not fit together.
    """

    groups: tuple[Group, ...] = ()
    axes: Mapping[str, tuple[Axis, ...]] = field(default_factory=dict)
    all: tuple[Freedom, ...] = ()

    def __post_init__(self) -> None:
        check_groups(self.groups)
        for freedom in self.all:
            readers = [place for fold in freedom.folds for place, _ in fold.readers]
            for place in itertools.chain(freedom.places, readers):
                blocks = self.blocks.get(place.tensor, ())
                if place.block >= len(blocks) or place.dim >= len(blocks[place.block].dims):
                    raise SpecError(f"freedom '{freedom.name}': '{place.tensor}' has no such block")
                if blocks[place.block].dims[place.dim].group != freedom.group:
                    raise SpecError(
                        f"freedom '{freedom.name}': '{place.tensor}' does not carry group '{freedom.group}' there"
                    )

    @cached_property
    def blocks(self) -> Mapping[str, tuple[Block, ...]]:
        """The dense blocks of every tensor that some freedom changes."""
        known = {group.name: group for group in self.groups}
        return {name: tensor_blocks(name, axes, known) for name, axes in self.axes.items()}

    @cached_property
    def by_name(self) -> Mapping[str, Freedom]:
        """The freedoms by name."""
        return {freedom.name: freedom for freedom in self.all}

    @cached_property
    def by_tensor(self) -> Mapping[str, tuple[tuple[Freedom, Place], ...]]:
        """What acts on every tensor."""
        found: dict[str, list[tuple[Freedom, Place]]] = {}
        for freedom in self.all:
            for place in freedom.places:
                found.setdefault(place.tensor, []).append((freedom, place))
        return {name: tuple(places) for name, places in found.items()}

    @cached_property
    def turning(self) -> Mapping[str, tuple[tuple[Freedom, Turn], ...]]:
        """What turns pairs of every tensor."""
        found: dict[str, list[tuple[Freedom, Turn]]] = {}
        for freedom in self.all:
            for turn in freedom.turns:
                found.setdefault(turn.tensor, []).append((freedom, turn))
        return {name: tuple(turns) for name, turns in found.items()}

    def group(self, name: str) -> Group:
        """A group by name."""
        return next(group for group in self.groups if group.name == name)

    def shape(self, freedom: Freedom) -> tuple[int, ...]:
        """Shape of the values of a freedom: (outer sizes..., n), or (outer sizes..., n, n) for matrices."""
        group = self.group(freedom.group)
        outer = tuple(self.group(name).size for name in group.depends_on)
        return (*outer, group.size, group.size) if freedom.matrix else (*outer, group.size)

    def only(self, *kinds: str) -> Freedoms:
        """The freedoms of some kinds: those that a consumer can use."""
        return Freedoms(self.groups, self.axes, tuple(freedom for freedom in self.all if freedom.kind in kinds))

    def to_json(self) -> dict[str, Any]:
        """Returns all freedoms as JSON-ready values."""
        return {
            "groups": [group.to_json() for group in self.groups],
            "axes": {name: [axis_to_json(axis) for axis in axes] for name, axes in self.axes.items()},
            "all": [freedom.to_json() for freedom in self.all],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Freedoms:
        """Inverse of `to_json`."""
        return cls(
            tuple(Group.from_json(group) for group in data["groups"]),
            {str(name): tuple(axis_from_json(axis) for axis in axes) for name, axes in data["axes"].items()},
            tuple(Freedom.from_json(freedom) for freedom in data["all"]),
        )
