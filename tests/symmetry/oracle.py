"""Shared by the tests of the symmetry: slow, obvious actions of specs and of labels, and random specs."""

from __future__ import annotations

import itertools

import torch
from hypothesis import strategies as st
from torch import Tensor

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.label import Atom, Label, Product, Sum, Uniform, Varying, resolve
from weightspace.symmetry.spec import Spec


def coordinates(axis: Axis, position: int) -> list[tuple[str | None, int]]:
    """The (group, index) pairs along the path from the root of an axis tree to one position."""
    match axis:
        case GroupAxis(group, _):
            return [(group, position)]
        case FixedAxis():
            return [(None, position)]
        case ProductAxis(factors):
            found: list[tuple[str | None, int]] = []
            for factor in reversed(factors):
                found = coordinates(factor, position % factor.size) + found
                position //= factor.size
            return found
        case SumAxis(parts, runs):
            for run in runs:
                if position < run.length:
                    return coordinates(parts[run.part], run.start + position)
                position -= run.length
            raise AssertionError("position outside of the sum")


def old_position(axis: Axis, position: int, element: Element, everywhere: dict[str, int]) -> int:
    """Where the entry at a new position of an axis came from, by walking the tree."""
    here = {**everywhere, **{group: index for group, index in coordinates(axis, position) if group is not None}}

    def walk(node: Axis, place: int) -> int:
        match node:
            case GroupAxis(group, _):
                outer = next(g for g in element.groups if g.name == group).depends_on
                return int(element.perm(group)[(*(here[name] for name in outer), place)])
            case FixedAxis():
                return place
            case ProductAxis(factors):
                digits = []
                for factor in reversed(factors):
                    digits.append(place % factor.size)
                    place //= factor.size
                old = 0
                for factor, digit in zip(factors, reversed(digits), strict=True):
                    old = old * factor.size + walk(factor, digit)
                return old
            case SumAxis(parts, runs):
                at = 0
                for run in runs:
                    if place < at + run.length:
                        inside = walk(parts[run.part], run.start + place - at)
                        return locate(node, run.part, inside)
                    at += run.length
                raise AssertionError("place outside of the sum")

    def locate(node: SumAxis, part: int, inside: int) -> int:
        at = 0
        for run in node.runs:
            if run.part == part and run.start <= inside < run.start + run.length:
                return at + inside - run.start
            at += run.length
        raise AssertionError("index outside of its part")

    return walk(axis, position)


def slow_action(spec: Spec, element: Element, name: str, tensor: Tensor) -> Tensor:
    """The action entry by entry, in plain Python."""
    axes = spec.tensors[name].axes
    result = torch.empty_like(tensor)
    for new in itertools.product(*(range(n) for n in tensor.shape)):
        everywhere: dict[str, int] = {}
        for axis, position in zip(axes, new, strict=True):
            everywhere.update({g: i for g, i in coordinates(axis, position) if g is not None})
        old = tuple(old_position(axis, position, element, everywhere) for axis, position in zip(axes, new, strict=True))
        result[new] = tensor[old]
    return result


class Assignment:
    """A random permutation, never the identity, for every atom that is still free; frozen ones stay.

    Uniform stretches stay too, unless asked for: then each gets a permutation of its own, since any will do.
    """

    def __init__(self, seed: int, *, uniform: bool = False) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.moved = (Atom, Uniform) if uniform else (Atom,)
        self.perms: dict[int, tuple[Label, list[int]]] = {}

    def leaf(self, label: Label, index: int) -> int:
        if not isinstance(label, self.moved) or (isinstance(label, Atom) and label.frozen is not None):
            return index
        if id(label) not in self.perms:
            perm = list(range(label.size))
            while label.size > 1 and perm == sorted(perm):
                perm = torch.randperm(label.size, generator=self.generator).tolist()
            self.perms[id(label)] = (label, perm)
        return self.perms[id(label)][1][index]

    def old(self, label: Label, index: int) -> int:
        """Old index for a new index of a label."""
        label = resolve(label)
        match label:
            case Product():
                digits = []
                for factor in reversed(label.factors):
                    digits.append(index % factor.size)
                    index //= factor.size
                old = 0
                for factor, digit in zip(label.factors, reversed(digits), strict=True):
                    old = old * factor.size + self.old(factor, digit)
                return old
            case Sum():
                at = 0
                for run in label.runs:
                    if at <= index < at + run.length:
                        inside = self.old(label.parts[run.part], run.start + index - at)
                        return position_of(label, run.part, inside)
                    at += run.length
                raise AssertionError
            case Varying():
                raise AssertionError("a varying label has no permutation of its own")
            case _:
                return self.leaf(label, index)

    def old_entry(self, labels: list[Label], entry: tuple[int, ...]) -> tuple[int, ...]:
        """Old multi-index of an entry of a tensor, varying labels included."""
        labels = [resolve(label) for label in labels]
        chosen = {}
        for label, index in zip(labels, entry, strict=True):
            if isinstance(label, Sum) and label.case is not None:
                chosen[label.case] = part_at(label, index)
        return tuple(
            self.old(label.choices[chosen[label.case]] if isinstance(label, Varying) else label, index)
            for label, index in zip(labels, entry, strict=True)
        )

    def flat(self, labels: list[Label], shape: tuple[int, ...]) -> list[int]:
        """The permutation of the row-major entries of a tensor."""
        labels = [resolve(label) for label in labels]  # once, so that merged uniform stretches keep their identity
        return [ravel(self.old_entry(labels, entry), shape) for entry in itertools.product(*map(range, shape))]


def ravel(entry: tuple[int, ...], shape: tuple[int, ...]) -> int:
    flat = 0
    for index, size in zip(entry, shape, strict=True):
        flat = flat * size + index
    return flat


def part_at(label: Sum, index: int) -> int:
    for run in label.runs:
        if index < run.length:
            return run.part
        index -= run.length
    raise AssertionError


def position_of(label: Sum, part: int, inside: int) -> int:
    at = 0
    for run in label.runs:
        if run.part == part and run.start <= inside < run.start + run.length:
            return at + inside - run.start
        at += run.length
    raise AssertionError


GROUPS = (
    Group("units", 4),
    Group("heads", 3),
    Group("inner", 2, ("heads",)),
    Group("deep", 2, ("heads", "inner")),
    Group("ordered", 2, (), ()),
    Group("hosted", 3, ("ordered",)),
)
SIZES = {group.name: group.size for group in GROUPS}


def scattered(part: Axis, middle: Axis) -> SumAxis:
    """The middle between the two halves of a part, as a zero-padded shortcut leaves it."""
    half = part.size // 2
    return SumAxis((part, middle), (Run(0, 0, half), Run(1, 0, middle.size), Run(0, half, part.size - half)))


def concatenated(*parts: Axis) -> SumAxis:
    """Parts side by side, one run each."""
    return SumAxis(parts, tuple(Run(number, 0, part.size) for number, part in enumerate(parts)))


def leaf(name: str) -> GroupAxis:
    """A leaf carried by one of the test groups."""
    return GroupAxis(name, SIZES[name])


HEADS = ProductAxis((leaf("heads"), leaf("inner")))
AXES = st.sampled_from(
    [
        leaf("units"),
        FixedAxis(3, "input"),
        HEADS,
        ProductAxis((leaf("heads"), leaf("inner"), leaf("deep"))),
        ProductAxis((FixedAxis(2), leaf("units"))),
        ProductAxis((leaf("ordered"), leaf("hosted"))),
        concatenated(HEADS, HEADS, leaf("units")),
        ProductAxis((leaf("heads"), concatenated(leaf("inner"), FixedAxis(1), leaf("inner")))),
        scattered(leaf("units"), FixedAxis(2)),
        scattered(leaf("units"), HEADS),
    ]
)
