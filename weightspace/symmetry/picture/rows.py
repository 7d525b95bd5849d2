"""What stands in each row of the picture: the tensors of one module, in the order of the state dict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weightspace.symmetry.axis import Axis, GroupAxis, leaves
from weightspace.symmetry.picture.bar import length_of, thickness_of
from weightspace.symmetry.spec import Spec, TensorSpec

BETWEEN_BARS = 4.0
BETWEEN_VECTORS = 6.0
BETWEEN_TENSORS = 14.0


@dataclass(frozen=True)
class Glyph:
    """One tensor: its first axis on the left, its second on top, further ones below. Axes of size 1 are not drawn.

    Attributes:
        name: Its full name.
        tensor: Its axes.
    """

    name: str
    tensor: TensorSpec

    @property
    def axes(self) -> list[Axis]:
        """The axes that are drawn."""
        return [axis for axis in self.tensor.axes if axis.size > 1]

    @property
    def width(self) -> float:
        """In pixels."""
        first, *rest = self.axes
        return thickness_of(first) + (2 + max(length_of(axis.size) for axis in rest) if rest else 0.0)

    @property
    def height(self) -> float:
        """In pixels."""
        first, *rest = self.axes
        top = thickness_of(rest[0]) + 2 if rest else 0.0
        return top + length_of(first.size) + sum(BETWEEN_BARS + thickness_of(axis) for axis in rest[1:])


@dataclass
class Row:
    """The tensors of one module.

    Attributes:
        label: Name of the module, or of the tensor where it is the model's own.
        glyphs: Its tensors.
        groups: Names of the groups that they carry.
    """

    label: str
    glyphs: list[Glyph] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """Names of the groups that the tensors carry, in order."""
        found = (leaf for glyph in self.glyphs for axis in glyph.tensor.axes for leaf in leaves(axis))
        return list(dict.fromkeys(leaf.group for leaf in found if isinstance(leaf, GroupAxis)))

    @property
    def width(self) -> float:
        """Of the glyphs side by side, in pixels."""
        return sum(glyph.width for glyph in self.glyphs) + sum(map(gap, self.glyphs, self.glyphs[1:]))


def gap(left: Glyph, right: Glyph) -> float:
    """Room between two neighbours, in pixels."""
    return BETWEEN_VECTORS if len(left.axes) == len(right.axes) == 1 else BETWEEN_TENSORS


def rows_of(spec: Spec, names: Sequence[str]) -> list[Row]:
    """The rows for some tensors: one for every module, and for every tensor that is in none."""
    rows: list[Row] = []
    for name in names:
        module = name.rpartition(".")[0] or name
        if not rows or rows[-1].label != module:
            rows.append(Row(module))
        rows[-1].glyphs.append(Glyph(name, spec.tensors[name]))
    return rows


def lanes_of(rows: Sequence[Row]) -> dict[str, int]:
    """A lane for every group: the leftmost one that is free from the first row that carries it to the last."""
    extent: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        for group in row.groups:
            extent[group] = extent.get(group, (number, number))[0], number
    free_from: list[int] = []
    lanes: dict[str, int] = {}
    for group, (first, last) in extent.items():
        lane = next((lane for lane, row in enumerate(free_from) if row <= first), len(free_from))
        free_from[lane : lane + 1] = [last + 1]
        lanes[group] = lane
    return lanes
