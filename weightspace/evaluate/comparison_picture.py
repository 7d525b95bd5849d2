"""The picture of a comparison."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weightspace.atomic import explain_os_errors, new_files
from weightspace.evaluate.lineage import RELATED
from weightspace.evaluate.plot import check_plot_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from weightspace.evaluate.comparison import Comparison
    from weightspace.evaluate.layer_barrier import LayerBarriers
    from weightspace.evaluate.tensors import TensorDifference

# Okabe and Ito's colours, told apart by people with any kind of colour vision; the same as in pictures of barriers.
_BEFORE, _AFTER = "#D55E00", "#0072B2"
_LABELLED = 60  # rows of one panel that can be told apart
_SYMLOG_FROM = 10.0  # a rise beyond this would make all others nothing on a linear axis
_ROW, _TOP = 0.19, 1.5  # inches per row, and for title, axis and legend


def plot_comparison(
    comparison: Comparison, path: str | Path, *, title: str = "A and B", layers: LayerBarriers | None = None
) -> None:
    """Draw the cosine of every matrix and the recognised units of every group, as they are and aligned.

    Args:
        comparison: What was found.
        path: Where to write; the suffix `.png`, `.svg` or `.pdf` decides the format.
        title: Heading of the picture; the verdict follows.
        layers: Rises of the loss by layer, for a third panel.

    Raises:
        OutputError: Another suffix, matplotlib is missing, or the file cannot be written. Nothing is left half-written.
    """
    path = Path(path)
    check_plot_path(path)
    content = _render(comparison, title, layers, path.suffix[1:].lower())
    with new_files(path) as (temporary,), explain_os_errors(path):
        temporary.write_bytes(content)


def _render(comparison: Comparison, title: str, layers: LayerBarriers | None, suffix: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in comparison.tensors if len(row.shape) > 1]
    groups = [group for group in comparison.groups if group.units.asked]
    panels = 1 + bool(groups) + (layers is not None)
    most = max(len(rows), len(groups), 0 if layers is None else len(layers.layers), 6)
    height = _TOP + _ROW * min(most, _LABELLED)
    # A fixed salt and no date: the same comparison gives the same file.
    with mpl.rc_context({"svg.hashsalt": "weightspace", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(4.6 * panels, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(1, panels, squeeze=False)[0])
        _cosines(axes[0], rows, comparison.reason)
        if groups:
            _bars(
                axes[1], [f"{group.name} ({group.size:,})" for group in groups],
                [group.units.share for group in groups], [group.units_aligned.share for group in groups],
            )  # fmt: skip
            axes[1].axvline(RELATED, color="0.35", linestyle=":", linewidth=1.2)
            axes[1].set_title(f"share of units recognised, by group\n(overall, {RELATED} is one lineage)", fontsize=10)
            axes[1].set_xlim(0, 1.02)
        if layers is not None:
            _bars(
                axes[-1], [row.layer for row in layers.layers], [row.middle for row in layers.layers],
                [row.middle_aligned for row in layers.layers],
            )  # fmt: skip
            unit = "loss (nats)" if layers.measure == "loss" else "distance of outputs"
            if max((abs(row.middle) for row in layers.layers), default=0.0) > _SYMLOG_FROM:
                axes[-1].set_xscale("symlog", linthresh=0.1)
            axes[-1].set_title(f"rise of {unit} with one layer halfway to B", fontsize=10)
        figure.suptitle(f"{title}: {comparison.verdict}", fontsize=12, fontweight="bold")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        stream = io.BytesIO()
        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
        figure.savefig(stream, format=suffix, dpi=150, metadata=metadata)
    return stream.getvalue()


def _cosines(axes: Axes, rows: Sequence[TensorDifference], reason: str) -> None:
    if not rows:
        axes.axis("off")
        axes.text(0.5, 0.5, reason, ha="center", va="center", wrap=True)
        return
    cosines, aligned = [row.cosine for row in rows], [row.cosine_aligned for row in rows]
    _bars(axes, [row.name for row in rows], cosines, aligned)
    low = min((value for value in (*cosines, *aligned) if value is not None), default=0.0)
    axes.set_xlim(min(-0.02, 1.05 * low), 1.02)
    axes.set_title("cosine of A and B, by matrix", fontsize=10)


def _bars(axes: Axes, names: Sequence[str], before: Sequence[float | None], after: Sequence[float | None]) -> None:
    """Two bars per name, from top to bottom; the aligned one is left out where there was no alignment."""
    aligned = any(value is not None for value in after)
    places = range(len(names))
    thick = 0.4 if aligned else 0.7
    shift = thick / 2 if aligned else 0.0
    axes.barh([p - shift for p in places], [v or 0.0 for v in before], thick, color=_BEFORE, label="as they are")
    if aligned:
        axes.barh([p + shift for p in places], [v or 0.0 for v in after], thick, color=_AFTER, label="B aligned to A")
    every = -(-len(names) // _LABELLED)
    axes.set_yticks(list(places)[::every], list(names)[::every], fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
