"""The picture of a spec: a row for every module, a lane for every group, and each group named where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from weightspace.symmetry.acting import acting_groups
from weightspace.symmetry.axis import Axis, SumAxis
from weightspace.symmetry.picture.bar import Bar, length_of, thickness_of
from weightspace.symmetry.picture.choose import chosen_tensors
from weightspace.symmetry.picture.legend import (
    ENTRY_HEIGHT,
    GREY,
    INK,
    KEY_HEIGHT,
    Entry,
    disc,
    legend_entry,
    legend_width,
    reading_key,
)
from weightspace.symmetry.picture.palette import Style, define, styles
from weightspace.symmetry.picture.rows import BETWEEN_BARS, Glyph, Row, gap, lanes_of, rows_of
from weightspace.symmetry.picture.svg import Node, document, text_width
from weightspace.symmetry.picture.words import describe_shape, describe_tensor, elided
from weightspace.symmetry.spec import Spec

_MARGIN = 20.0
_HEAD = 84.0
_LANE = 22.0
_COLUMN_GAP = 24.0
_LABEL, _DETAIL = 12.0, 11.0
_LINE = 15.0
_LONGEST_LABEL = 40
_LONGEST_DETAIL = 46


def draw_spec(spec: Spec, *, title: str = "", only: str | None = None) -> str:
    """Draws tensors in their order, with every axis in the colour of the group that moves it, as an SVG document.

    Args:
        spec: What to draw.
        title: Heading, such as the name of the network.
        only: Draw just the tensors of this module: those whose names begin with it and a dot.

    Returns:
        The document, the same for the same arguments.

    Raises:
        SpecError: There is nothing to draw, or more than a picture could show.
    """
    names = chosen_tensors(spec, only)
    rows = rows_of(spec, names)
    carried = list(dict.fromkeys(group for row in rows for group in row.groups))
    known = {group.name: group for group in spec.all_groups}
    words = {each.group.name: each.words for each in acting_groups(spec)}
    entries = {name: Entry(known[name], words.get(name, ())) for name in carried}
    looks = styles(entry.group for entry in entries.values())
    return _Picture(spec, rows, entries, looks, lanes_of(rows)).draw(title, only)


@dataclass(frozen=True)
class _Picture:
    """Everything that the drawing needs to know.

    The columns are, from left to right: names and shapes, the tensors themselves, the lanes, and the groups by name.
    """

    spec: Spec
    rows: list[Row]
    entries: Mapping[str, Entry]
    looks: Mapping[str, Style]
    lanes: Mapping[str, int]

    def draw(self, title: str, only: str | None) -> str:
        details = [_details(row, self._aliases()) for row in self.rows]
        starting = self._starting()
        heights = [
            18 + max(_LINE * (1 + len(lines)), max(glyph.height for glyph in row.glyphs), ENTRY_HEIGHT * len(starts))
            for row, lines, starts in zip(self.rows, details, starting, strict=True)
        ]
        label_width = max(
            *(text_width(elided(row.label, _LONGEST_LABEL), _LABEL) for row in self.rows),
            *(text_width(line, _DETAIL) for lines in details for line in lines),
        )
        tensors_x = _MARGIN + label_width + _COLUMN_GAP
        lanes_x = tensors_x + max(row.width for row in self.rows) + _COLUMN_GAP + _LANE / 2
        lane_count = max(self.lanes.values(), default=-1) + 1
        legend_x = lanes_x + lane_count * _LANE + _COLUMN_GAP / 2
        heading = _heading(title, only)
        summary = self._summary(only)
        columns = ((_MARGIN, "module"), (tensors_x, "tensors"), (legend_x, "groups, where they first appear"))
        width = _MARGIN + max(
            legend_x + legend_width(self.entries.values(), self.looks),
            _MARGIN + max(text_width(heading, 15), text_width(summary, _LABEL), reading_key(document(0, 0), 0, 0)),
            *(x + text_width(words, _DETAIL) for x, words in columns),
        )
        tops = [_HEAD + sum(heights[:number]) for number in range(len(heights))]
        bottom = _HEAD + sum(heights)
        root = document(width, bottom + KEY_HEIGHT + _MARGIN)
        define(root, self.looks.values())
        root.text(_MARGIN, 30, heading, font_size=15, fill=INK, font_weight="bold")
        root.text(_MARGIN, 49, summary, font_size=_LABEL, fill=GREY)
        for x, words in columns:
            root.text(x, _HEAD - 9, words, font_size=_DETAIL, fill=GREY)
        for number, (top, height) in enumerate(zip(tops, heights, strict=True)):
            if number % 2 == 0:
                root.add("rect", x=_MARGIN / 2, y=top, width=width - _MARGIN, height=height, fill="#f6f7f9")
        centres = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
        self._draw_lanes(root, lanes_x, centres)
        for row, lines, starts, y in zip(self.rows, details, starting, centres, strict=True):
            self._draw_label(root, row, lines, y)
            end = self._draw_glyphs(root, row, tensors_x, y)
            self._draw_stops(root, row, starts, end, lanes_x, y)
            top = y - ENTRY_HEIGHT * len(starts) / 2
            for place, name in enumerate(starts):
                legend_entry(root, legend_x, top + place * ENTRY_HEIGHT, self.entries[name], self.looks)
        reading_key(root, _MARGIN, bottom + 14)
        return root.to_text()

    # ------------------------------------------------------------------ what is known

    def _starting(self) -> list[list[str]]:
        """Per row the groups that no row above carries."""
        seen: set[str] = set()
        starting = []
        for row in self.rows:
            starting.append([name for name in row.groups if name not in seen])
            seen.update(row.groups)
        return starting

    def _aliases(self) -> dict[str, list[str]]:
        aliases: dict[str, list[str]] = {}
        for alias, name in self.spec.aliases.items():
            aliases.setdefault(name, []).append(alias)
        return aliases

    def _summary(self, only: str | None) -> str:
        drawn = sum(len(row.glyphs) for row in self.rows)
        if only is not None:
            acting = "1 group acts" if len(self.entries) == 1 else f"{len(self.entries)} groups act"
            return f"{drawn} of {len(self.spec.tensors):,} tensors; {acting} on them"
        share = f"{100 * self.spec.completeness:.1f} % of the parameters lie on an axis that moves"
        return f"tensors: {drawn}, groups: {len(self.spec.groups)}; {share}"

    # ------------------------------------------------------------------ what is drawn

    def _draw_lanes(self, root: Node, x: float, centres: Sequence[float]) -> None:
        for name, lane in self.lanes.items():
            carrying = [y for row, y in zip(self.rows, centres, strict=True) if name in row.groups]
            style, at = self.looks[name], x + lane * _LANE
            line = root.add("line", x1=at, y1=carrying[0], x2=at, y2=carrying[-1], class_=f"g {style.class_name}")
            width = 2.0 + length_of(self.entries[name].group.size) / 28
            line.set(stroke=style.colour, stroke_width=width, stroke_dasharray=style.dash)
            line.title(name)

    def _draw_label(self, root: Node, row: Row, lines: Sequence[str], y: float) -> None:
        baseline = y - _LINE * (1 + len(lines)) / 2 + 11
        label = elided(row.label, _LONGEST_LABEL)
        root.text(_MARGIN, baseline, label, font_size=_LABEL, fill=INK, font_weight="bold")
        for number, line in enumerate(lines, 1):
            root.text(_MARGIN, baseline + number * _LINE, line, font_size=_DETAIL, fill=GREY)

    def _draw_glyphs(self, root: Node, row: Row, x: float, y: float) -> float:
        """Draws the tensors of a row side by side; returns where they end."""
        aliases = self._aliases()
        for number, glyph in enumerate(row.glyphs):
            drawing = root.add("g")
            drawing.title(describe_tensor(glyph.name, glyph.tensor, aliases.get(glyph.name, [])))
            _draw_glyph(drawing, self.looks, glyph, x, y - glyph.height / 2)
            x += glyph.width + (gap(glyph, row.glyphs[number + 1]) if number + 1 < len(row.glyphs) else 0.0)
        return x

    def _draw_stops(self, root: Node, row: Row, starts: Sequence[str], end: float, x: float, y: float) -> None:
        """A dot on the lane of each group that the row carries, the first one with its number."""
        if not row.groups:
            return
        last = max(self.lanes[name] for name in row.groups)
        root.add("line", x1=end + 6, y1=y, x2=x + last * _LANE, y2=y, stroke="#c9c9c9", stroke_dasharray="1 3")
        for name in row.groups:
            style, at = self.looks[name], x + self.lanes[name] * _LANE
            if name in starts:
                disc(root, at, y, style)
            else:
                dot = root.add("circle", cx=at, cy=y, r=4.5, fill=style.colour, class_=f"g {style.class_name}")
                dot.title(name)


def _draw_glyph(parent: Node, looks: Mapping[str, Style], glyph: Glyph, x: float, y: float) -> None:
    first, *rest = glyph.axes
    if not rest:
        Bar(parent, looks, x, y, upright=True).draw(first)
        return
    second, *further = rest
    left, top = x + thickness_of(first) + 2, y + thickness_of(second) + 2
    width, height = length_of(second.size), length_of(first.size)
    parent.add("rect", x=left, y=top, width=width, height=height, fill="#ffffff", stroke="#d0d0d0")
    for share in _cuts(first):
        at = top + share * height
        parent.add("line", x1=left, y1=at, x2=left + width, y2=at, stroke="#d0d0d0")
    for share in _cuts(second):
        at = left + share * width
        parent.add("line", x1=at, y1=top, x2=at, y2=top + height, stroke="#d0d0d0")
    Bar(parent, looks, x, top, upright=True).draw(first)
    Bar(parent, looks, left, y, upright=False).draw(second)
    at = top + height
    for axis in further:
        at += BETWEEN_BARS
        Bar(parent, looks, left, at, upright=False).draw(axis)
        at += thickness_of(axis)


def _cuts(axis: Axis) -> list[float]:
    """Where the stretches of a sum meet, as shares of its length."""
    if not isinstance(axis, SumAxis):
        return []
    ends = accumulate(run.length for run in axis.runs)
    return [end / axis.size for end in ends][:-1]


def _details(row: Row, aliases: Mapping[str, list[str]]) -> list[str]:
    """Lines below the name of a module: its tensors with their shapes, those of equal shape together."""
    lines = []
    for shape, glyphs in groupby(row.glyphs, lambda glyph: glyph.tensor.shape):
        names = [glyph.name for glyph in glyphs]
        words = ", ".join(name.removeprefix(f"{row.label}.") for name in names if name != row.label)
        size = describe_shape(shape)
        lines.append(f"{elided(words, _LONGEST_DETAIL - len(size) - 1)} {size}".strip())
        lines += [elided(f"tied: {alias}", _LONGEST_DETAIL) for name in names for alias in aliases.get(name, [])]
    return lines


def _heading(title: str, only: str | None) -> str:
    parts = [part for part in (title, only) if part]
    return elided(": ".join(parts) or "Symmetry of the network", 90)
