"""What `wsp canonicalize` did, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsp.console import Console, counted

if TYPE_CHECKING:
    from weightspace.canonical import Canonical

_LONGEST_TABLE = 60


def show_canonical(console: Console, result: Canonical, title: str) -> None:
    """Tables and a summary, for people."""
    rows = _gauge_rows(result)
    if rows:
        console.table(
            ("group", "kind", "#freedoms", "#units", "#changed", "#one-sided", "#unresolved"),
            rows[:_LONGEST_TABLE],
            title=title,
        )
        if len(rows) > _LONGEST_TABLE:
            console.line(f"and {counted(len(rows) - _LONGEST_TABLE, 'further row')} (--json lists all)")
    if result.groups:
        console.table(
            ("group", "#size", "#moved", "#interchangeable", "#tied", "#close"),
            [
                (
                    g.name,
                    f"{g.size:,}" if g.copies == 1 else f"{g.copies:,} x {g.size:,}",
                    f"{g.moved:,}",
                    f"{g.ties.interchangeable:,}",
                    f"{g.ties.tied:,}",
                    f"{g.ties.close:,}",
                )
                for g in result.groups[:_LONGEST_TABLE]
            ],
        )
        if len(result.groups) > _LONGEST_TABLE:
            console.line(f"and {counted(len(result.groups) - _LONGEST_TABLE, 'further group')} (--json lists all)")
    if result.unresolved:
        console.warn(
            f"{counted(result.unresolved, 'unit')} could not be told apart, or only within rounding: equivalent "
            "weights may come out in another order or with another sign there"
        )


def _gauge_rows(result: Canonical) -> list[tuple[str, ...]]:
    """A row per group and kind of freedom."""
    freedoms = result.transformation.spec.freedoms.by_name
    sums: dict[tuple[str, str], list[int]] = {}
    for gauge in result.gauges:
        numbers = (1, gauge.units, gauge.changed, gauge.one_sided, gauge.unresolved)
        row = sums.setdefault((freedoms[gauge.name].group, gauge.kind), [0] * len(numbers))
        row[:] = [total + number for total, number in zip(row, numbers, strict=True)]
    return [(*key, *(f"{number:,}" for number in row)) for key, row in sums.items()]
