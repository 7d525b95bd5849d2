"""What the picture says in words: a line for each group where it begins, and how to read the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weightspace.symmetry.axis import FixedAxis, GroupAxis, ProductAxis, Run, SumAxis
from weightspace.symmetry.group import Group
from weightspace.symmetry.picture.bar import Bar, length_of, thickness_of
from weightspace.symmetry.picture.palette import Style
from weightspace.symmetry.picture.svg import Node, text_width
from weightspace.symmetry.picture.words import elided

ENTRY_HEIGHT = 36.0
KEY_HEIGHT = 40.0
INK, GREY = "#1a1a1a", "#5c5c5c"
_LONGEST_NAME = 44
_NAME, _DETAIL = 12.0, 11.0
_DISC = 9.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A group as the legend shows it.

    Attributes:
        group: The group.
        kinds: In which ways it acts, in words; empty where its indices stay in place.
    """

    group: Group
    kinds: tuple[str, ...]


def disc(parent: Node, x: float, y: float, style: Style) -> None:
    """The number of a group in a disc of its colour, which stands for it everywhere."""
    mark = parent.add("g", class_=f"g {style.class_name}")
    mark.add("circle", cx=x, cy=y, r=_DISC, fill="#ffffff", stroke=style.colour, stroke_width=2.5)
    size = 10.0 if style.number < 100 else 8.0
    mark.text(x, y + size * 0.35, str(style.number), font_size=size, text_anchor="middle", fill=INK, font_weight="bold")


def legend_entry(parent: Node, x: float, y: float, entry: Entry, looks: Mapping[str, Style]) -> None:
    """Number, name, size and kinds of a group, with the groups that it depends on; x, y is the entry's upper left."""
    group = entry.group
    style = looks[group.name]
    disc(parent, x + _DISC, y + ENTRY_HEIGHT / 2, style)
    left = x + 2 * _DISC + 8
    parent.add("rect", x=left, y=y + 6, width=14, height=10, fill=style.fill, class_=f"g {style.class_name}").title(
        group.name
    )
    name = parent.text(
        left + 20, y + 15, elided(group.name, _LONGEST_NAME), font_size=_NAME, fill=INK, font_weight="bold"
    )
    name.add("title").write(group.name)
    parent.text(left, y + 29, _details(entry, looks), font_size=_DETAIL, fill=GREY)


def legend_width(entries: Iterable[Entry], looks: Mapping[str, Style]) -> float:
    """Room that the entries take, in pixels."""
    widths = (
        max(
            20 + text_width(elided(entry.group.name, _LONGEST_NAME), _NAME),
            text_width(_details(entry, looks), _DETAIL),
        )
        for entry in entries
    )
    return 2 * _DISC + 8 + max(widths, default=0.0)


def _details(entry: Entry, looks: Mapping[str, Style]) -> str:
    group = entry.group
    kinds = ", ".join(entry.kinds) or "ordered: stays in place"
    outers = [f"{looks[name].number}" if name in looks else elided(name, 20) for name in group.depends_on]
    depends = f"; one for each index of {', '.join(outers)}" if outers else ""
    return f"{group.size:,} indices, {kinds}{depends}"


def reading_key(parent: Node, x: float, y: float) -> float:
    """How to read bars that are not of one colour; returns the width."""
    looks = {"a": Style(0, "#5c5c5c", "#5c5c5c"), "b": Style(0, "#bdbdbd", "#bdbdbd")}
    a, b = GroupAxis("a", 24), GroupAxis("b", 24)
    examples = (
        (FixedAxis(48), "stays in place"),
        (SumAxis((a, b), (Run(0, 0, 24), Run(1, 0, 24))), "two groups side by side"),
        (ProductAxis((GroupAxis("a", 4), GroupAxis("b", 12))), "a group within each index of another"),
    )
    start = x
    for axis, words in examples:
        Bar(parent, looks, x, y + 6 - thickness_of(axis) / 2, upright=False).draw(axis)
        x += length_of(axis.size) + 8
        parent.text(x, y + 10, words, font_size=_DETAIL, fill=GREY)
        x += text_width(words, _DETAIL) + 20
    parent.text(start, y + 28, "lengths grow with the logarithm of the size", font_size=_DETAIL, fill=GREY)
    return x - start
