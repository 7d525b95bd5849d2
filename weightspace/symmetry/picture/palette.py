"""How each group looks, wherever it occurs: a colour, and a texture once the colours are used up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weightspace.symmetry.group import Group
from weightspace.symmetry.picture.svg import Node

# Okabe and Ito's colours first, then some of Paul Tol's muted ones: told apart with any kind of colour vision. Groups
# are numbered as well, so that nothing depends on colour alone.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#332288", "#999933", "#882255", "#44AA99",
)  # fmt: skip
_RISING, _FALLING = "M-1,1 L1,-1 M0,6 L6,0 M5,7 L7,5", "M5,-1 L7,1 M0,0 L6,6 M-1,5 L1,7"
_DOTS = "M1.5,1 v1.5 M4.5,4 v1.5"
TEXTURES = ("", _RISING, _FALLING, _DOTS)  # drawn in white over the colour, on tiles of 6 x 6
_DASHES = ("none", "8 3", "3 3", "12 3 3 3")
STILL = "#9a9a9a"
HATCH = "url(#still)"


@dataclass(frozen=True, slots=True)
class Style:
    """How one group is drawn.

    Attributes:
        number: What it is called in the picture, from 1.
        colour: Of its lines, and of the ground of its areas.
        fill: Paint of its areas: the colour, or a textured tile.
        dash: Dashes of its lines, where the colour alone is not its own.
        class_name: CSS class of everything that belongs to it.
    """

    number: int
    colour: str
    fill: str
    dash: str = "none"

    @property
    def class_name(self) -> str:
        """Name of the CSS class."""
        return f"g{self.number}"


def styles(groups: Iterable[Group]) -> dict[str, Style]:
    """A style for every group, in their order; ordered groups, which do not move, are grey."""
    result: dict[str, Style] = {}
    moving = 0
    for number, group in enumerate(groups, 1):
        if not group.movable:
            result[group.name] = Style(number, STILL, HATCH)
            continue
        colour, texture = moving % len(COLOURS), moving // len(COLOURS) % len(TEXTURES)
        fill = f"url(#t{colour}-{texture})" if texture else COLOURS[colour]
        result[group.name] = Style(number, COLOURS[colour], fill, _DASHES[texture])
        moving += 1
    return result


def define(root: Node, used: Iterable[Style]) -> None:
    """Adds the tiles that the fills refer to, and the rules that let a group stand out under the pointer."""
    definitions = root.add("defs")
    _tile(definitions, "still", "#e6e6e6", _RISING, STILL)
    fills = sorted({style.fill for style in used if style.fill.startswith("url(#t")})
    for fill in fills:
        colour, texture = map(int, fill[6:-1].split("-"))
        _tile(definitions, f"t{colour}-{texture}", COLOURS[colour], TEXTURES[texture], "#ffffff")
    rules = [f"svg:has(.{name}:hover) .g:not(.{name}){{opacity:.15}}" for name in (style.class_name for style in used)]
    root.add("style").write("\n".join(rules))


def _tile(definitions: Node, name: str, ground: str, lines: str, ink: str) -> None:
    tile = definitions.add("pattern", id=name, width=6, height=6, patternUnits="userSpaceOnUse")
    tile.add("rect", width=6, height=6, fill=ground)
    tile.add("path", d=lines, stroke=ink, stroke_width=1.6)
