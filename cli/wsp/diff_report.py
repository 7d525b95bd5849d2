"""What `wsp diff` shows to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsp.console import Console, counted

if TYPE_CHECKING:
    from weightspace.evaluate import Comparison, LayerBarriers
    from weightspace.evaluate.units import Recognised


def show_comparison(console: Console, found: Comparison, layers: LayerBarriers | None, title: str) -> None:
    """Tables of tensors, groups, singular values and layers, and the verdict below them."""
    if found.evidence is not None and not found.evidence.equal:
        _tensors(console, found, title)
        _groups(console, found)
        _singular(console, found)
    if layers is not None:
        _layers(console, layers)
    console.line(f"{found.verdict}: {found.reason}")
    if found.evidence is not None and not found.evidence.equal:
        _evidence(console, found)


def _tensors(console: Console, found: Comparison, title: str) -> None:
    rows = []
    for row in found.tensors:
        aligned = None if not row.norm or row.task_vector_aligned is None else row.task_vector_aligned / row.norm
        cells = f"{row.task_vector:.4g}", _number(row.distance), _number(aligned), _number(row.cosine)
        rows.append((row.name, "x".join(map(str, row.shape)), *cells, _number(row.cosine_aligned)))
    columns = ("tensor", "#shape", "#|B - A|", "#/ |A|", "#aligned", "#cosine", "#aligned")
    console.table(columns, rows, title=title)


def _groups(console: Console, found: Comparison) -> None:
    if found.groups:
        console.table(
            ("group", "#size", "#moved", "#recognised", "#aligned"),
            [
                (
                    group.name,
                    f"{group.size:,}" if group.copies == 1 else f"{group.copies:,} x {group.size:,}",
                    "" if group.moved is None else f"{group.moved:,}",
                    _share(group.units),
                    _share(group.units_aligned),
                )
                for group in found.groups
            ],
            title="units that are nearest to their counterpart",
        )


def _singular(console: Console, found: Comparison) -> None:
    if found.singular:
        console.table(
            ("matrix", "#kept", "#spectra apart", "#R", "#aligned"),
            [
                (
                    row.name,
                    f"{row.kept:,}",
                    f"{row.spectra:.4f}",
                    f"{row.alignment:.3f}",
                    f"{row.alignment_aligned:.3f}",
                )
                for row in found.singular
            ],
            title="singular values, and R, how far large singular vectors point the same way",
        )


def _layers(console: Console, layers: LayerBarriers) -> None:
    what = "loss in nats" if layers.measure == "loss" else "outputs, squared distance relative to those of A"
    console.table(
        ("layer", "#halfway", "#replaced", "#aligned, halfway", "#replaced"),
        [
            (
                row.layer,
                *(f"{value:+.4f}" for value in (row.middle, row.replaced, row.middle_aligned, row.replaced_aligned)),
            )
            for row in layers.layers
        ],
        title=f"one layer of A halfway to B, and replaced by it: rise of the {what}",
    )


def _evidence(console: Console, found: Comparison) -> None:
    assert found.evidence is not None
    evidence = found.evidence
    changed = sum(not row.equal for row in found.tensors)
    console.line(
        f"{changed} of {counted(len(found.tensors), 'tensor')} differ; the largest distance of one is "
        f"{_number(evidence.distance)} of its size, aligned {_number(evidence.distance_aligned)}"
    )
    console.line(
        f"mean cosine of the matrices {_number(evidence.cosine)}, aligned {_number(evidence.cosine_aligned)}; units "
        f"recognised {_share(evidence.units) or 'none'}, aligned {_share(evidence.units_aligned) or 'none'} "
        f"({', '.join(found.kinds)})"
    )
    if evidence.outputs is not None:
        console.line(f"outputs of A and B on random inputs differ by {evidence.outputs:.1e} of their size")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _share(units: Recognised) -> str:
    return "" if units.share is None else f"{units.share:.1%}"
