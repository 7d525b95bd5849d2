"""The picture of a barrier."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weightspace.atomic import explain_os_errors, new_files
from weightspace.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from weightspace.evaluate.barrier import Curve
    from weightspace.evaluate.report import BarrierReport

# Okabe and Ito's colours, told apart by people with any kind of colour vision; lines and markers differ as well.
_STYLES = {
    "naive": ("not aligned", "#D55E00", "--", "o"),
    "aligned": ("aligned", "#0072B2", "-", "s"),
    "aligned_reset": ("aligned, statistics reset", "#009E73", "-", "^"),
}
_FORMATS = ("png", "svg", "pdf")
# A loss in nats beyond this is an explosion: on a linear axis everything else would be one flat line.
_LOG_FROM = 100.0


def plot_barrier(report: BarrierReport, path: str | Path, *, title: str = "Straight path from A to B") -> None:
    """Draw loss and accuracy along the paths of a report, the barriers of each in the legend.

    Args:
        report: The curves; the reset is left out where the network has no batch norm.
        path: Where to write; the suffix `.png`, `.svg` or `.pdf` decides the format.
        title: Heading of the picture.

    Raises:
        OutputError: Another suffix, matplotlib is missing, or the file cannot be written. Nothing is left half-written.
    """
    path = Path(path)
    check_plot_path(path)
    content = _render(report, title, path.suffix[1:].lower())
    with new_files(path) as (temporary,), explain_os_errors(path):
        temporary.write_bytes(content)


def check_plot_path(path: Path) -> None:
    """Refuse early, before the curves are measured, what `plot_barrier` would refuse late.

    Raises:
        OutputError: The suffix is not that of a picture, the folder is missing, or matplotlib is.
    """
    if path.suffix[1:].lower() not in _FORMATS:
        raise OutputError(f"{path}: expected a name that ends in .png, .svg or .pdf, found {path.name!r}; rename it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: expected an existing folder, found no {path.parent}; create it")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise OutputError(f"{path}: expected matplotlib to draw, found none; install weightspace[plot]") from error


def _render(report: BarrierReport, title: str, suffix: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A fixed salt and no date: the same curves give the same file.
    with mpl.rc_context({"svg.hashsalt": "weightspace", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        _loss_panel(left, report)
        _accuracy_panel(right, report)
        figure.suptitle(title, fontsize=12)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, handlelength=2.6)
        stream = io.BytesIO()
        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
        figure.savefig(stream, format=suffix, dpi=150, metadata=metadata)
    return stream.getvalue()


def _loss_panel(axes: Axes, report: BarrierReport) -> None:
    for name, curve in report.curves().items():
        _draw(axes, name, curve, curve.loss)
    _chord(axes, report.naive.loss)
    finite = [value for curve in report.curves().values() for value in curve.loss if math.isfinite(value)]
    if finite and max(finite) > _LOG_FROM and min(finite) > 0:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _label(axes, "Loss", "cross-entropy (nats)")


def _accuracy_panel(axes: Axes, report: BarrierReport) -> None:
    for name, curve in report.curves().items():
        _draw(axes, name, curve, [100 * value for value in curve.accuracy])
    _chord(axes, [100 * value for value in report.naive.accuracy])
    axes.set_ylim(0, 101)
    _label(axes, f"Accuracy ({report.naive.samples:,} examples)", "correct (%)")


def _draw(axes: Axes, name: str, curve: Curve, values: Sequence[float]) -> None:
    label, colour, line, marker = _STYLES[name]
    every = max(1, (len(curve.t) - 1) // 8)
    axes.plot(
        curve.t, values, line, color=colour, marker=marker, markevery=every, markersize=5, linewidth=1.8,
        label=f"{label}: {_barriers(curve)}",
    )  # fmt: skip


def _chord(axes: Axes, values: Sequence[float]) -> None:
    axes.plot(
        (0, 1),
        (values[0], values[-1]),
        ":",
        color="0.45",
        linewidth=1.2,
        zorder=1,
        label="straight line between the ends: no barrier",
    )


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(unit)
    axes.set_xlabel("t (0: A, 1: B)")
    axes.set_xlim(-0.02, 1.02)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _barriers(curve: Curve) -> str:
    loss = f"{curve.barrier:.3f}" if math.isfinite(curve.barrier) else "not finite"
    return f"barrier {loss} nats, {100 * curve.accuracy_barrier:.1f} points"
