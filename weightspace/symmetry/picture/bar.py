"""One axis as a bar: coloured by group, a sum as stretches side by side, a product as nested stripes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, SumAxis
from weightspace.symmetry.picture.palette import HATCH, Style
from weightspace.symmetry.picture.svg import Node

_MOST_CELLS = 4  # of the outer index of a product: enough to show that the inner one repeats
_SHORTEST_CELL = 5.0


def length_of(size: int) -> float:
    """Length of a bar in pixels: logarithmic, so that 3 and 50,000 fit one picture."""
    return 7 + 7 * math.log2(max(size, 1))


def thickness_of(axis: Axis) -> float:
    """Thickness of a bar in pixels: each factor of a product has a stripe of its own."""
    stripes = _stripes(axis)
    return 7.0 if stripes == 1 else 5.0 * stripes


@dataclass(frozen=True)
class Bar:
    """Where a bar lies.

    Attributes:
        parent: What it is drawn into.
        styles: How each group looks.
        x: Left end, in pixels.
        y: Upper end, in pixels.
        upright: Whether the axis runs downwards; else to the right. Its outer stripes lie on the left, or above.
    """

    parent: Node
    styles: Mapping[str, Style]
    x: float
    y: float
    upright: bool

    def draw(self, axis: Axis) -> None:
        """Draws a whole axis at its own length and thickness."""
        self._draw(axis, 0.0, length_of(axis.size), 0.0, thickness_of(axis))

    def _draw(self, axis: Axis, start: float, length: float, depth: float, thickness: float) -> None:
        match axis:
            case GroupAxis(group, _):
                style = self.styles[group]
                self._rectangle(start, length, depth, thickness, style.fill, style.class_name)
            case FixedAxis():
                self._rectangle(start, length, depth, thickness, HATCH, "")
            case SumAxis(parts, runs):
                # A scattered part keeps its look in each of its stretches.
                for run in runs:
                    share = run.length / axis.size * length
                    gap = 1.0 if share > 3 else 0.0
                    self._draw(parts[run.part], start, share - gap, depth, thickness)
                    start += share
            case ProductAxis(factors):
                self._draw_product(factors, start, length, depth, thickness)

    def _draw_product(
        self, factors: tuple[Axis, ...], start: float, length: float, depth: float, thickness: float
    ) -> None:
        outer, inner = factors[0], factors[1:]
        if not inner:
            self._draw(outer, start, length, depth, thickness)
            return
        stripe = thickness * _stripes(outer) / sum(map(_stripes, factors))
        cells = max(1, min(outer.size, _MOST_CELLS, int(length / _SHORTEST_CELL)))
        whole = isinstance(outer, (GroupAxis, FixedAxis))
        if not whole:
            self._draw(outer, start, length, depth, stripe - 0.5)
        for cell in range(cells):
            at, share = start + cell * length / cells, length / cells - (1.0 if cells > 1 else 0.0)
            if whole:
                self._draw(outer, at, share, depth, stripe - 0.5)
            self._draw_product(inner, at, share, depth + stripe, thickness - stripe)

    def _rectangle(
        self, start: float, length: float, depth: float, thickness: float, fill: str, class_name: str
    ) -> None:
        x, y, width, height = (
            (self.x + depth, self.y + start, thickness, length)
            if self.upright
            else (self.x + start, self.y + depth, length, thickness)
        )
        class_name = f"g {class_name}".strip()
        self.parent.add("rect", x=x, y=y, width=max(width, 0.5), height=max(height, 0.5), fill=fill, class_=class_name)


def _stripes(axis: Axis) -> int:
    match axis:
        case ProductAxis(factors):
            return sum(map(_stripes, factors))
        case SumAxis(parts, _):
            return max(map(_stripes, parts), default=1)
        case _:
            return 1
