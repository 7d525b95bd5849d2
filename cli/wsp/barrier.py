"""`wsp barrier`: loss and accuracy on the straight path between two networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors
from wsp.pair import PairRequest

if TYPE_CHECKING:
    from weightspace.evaluate import BarrierReport, Curve


@reports_errors
def barrier(
    a: options.A,
    b: options.B,
    data: options.RequiredData,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PLOT", help="The picture: a name ending in .png, .svg or .pdf.")
    ],
    points: Annotated[
        int, typer.Option("--points", min=3, metavar="N", help="Networks along the path, both ends included.")
    ] = 25,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=1, metavar="N", help="Measure on so many examples, chosen at random. Default: all.",
            show_default=False,
        ),
    ] = None,
    reset_samples: options.ResetSamples = options.DEFAULT_RESET_SAMPLES,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    method: options.Method = "weights",
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    kinds: options.Kinds = options.DEFAULT_KINDS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Measure the path from A to B as they are, with B aligned, and with the statistics of batch norms measured again.

    The barrier is the largest rise of the loss above the straight line between the losses of the two ends.
    """
    console = Console(as_json=as_json, quiet=quiet)
    request = PairRequest(
        a, b, arch, activation, options.positive_integers("--input-shape", input_shape),
        data, options.floats("--mean", mean), options.floats("--std", std), method, restarts, seed, device,
        match_samples, options.names("--kinds", kinds),
    )  # fmt: skip
    with console.owning_stdout():
        _run(console, request, output, points, samples, reset_samples)


def _run(
    console: Console, request: PairRequest, output: Path, points: int, samples: int | None, reset_samples: int
) -> None:
    from weightspace.evaluate import check_plot_path, measure_barriers, plot_barrier
    from wsp.aligning import align_pair, on
    from wsp.outputs import check_file
    from wsp.pair import opened

    check_plot_path(output)
    check_file(output, [path for path in (request.a, request.b, request.data) if path is not None])
    pair = opened(request, console, evaluates=True)
    assert pair.data is not None
    assert pair.network is not None
    assert pair.network.program is not None
    data = pair.data
    result = align_pair(pair, console)
    with console.progress("measuring") as step:
        before = {"naive": 0, "aligned": 1, "aligned_reset": 2}
        report = measure_barriers(
            pair.network.program,
            on(pair.device, result.a),
            on(pair.device, result.b),
            on(pair.device, result.aligned),
            lambda: data.evaluation(samples),
            lambda: data.statistics(reset_samples),
            points=points,
            progress=lambda name, done, of: step(before[name] * of + done, 3 * of, name),
        )
    title = f"{request.a.name} to {request.b.name}"
    plot_barrier(report, output, title=title)
    console.document(
        {
            "a": str(request.a),
            "b": str(request.b),
            "data": data.recipe(),
            "samples": report.naive.samples,
            **report.to_json(),
            "statistics_reset": report.has_reset,
            "alignment": result.alignment.report(),
            "output": str(output),
            "notes": console.notes,
        }
    )
    _show(console, report, title)
    console.line(f"picture in {output}")


def _show(console: Console, report: BarrierReport, title: str) -> None:
    rows = [(name.replace("_", ", "), *_row(curve)) for name, curve in report.curves().items()]
    columns = ("path", "#loss A", "#middle", "#B", "#barrier", "#accuracy A", "#middle", "#B", "#barrier")
    console.table(columns, rows, title=f"{title}, {report.naive.samples:,} examples")
    if not report.has_reset:
        console.line("no batch norm in this network, so there were no statistics to measure again")


def _row(curve: Curve) -> list[str]:
    middle = len(curve.t) // 2
    losses = [f"{curve.loss[i]:.4f}" for i in (0, middle, -1)]
    accuracies = [f"{100 * curve.accuracy[i]:.2f} %" for i in (0, middle, -1)]
    return [*losses, f"{curve.barrier:.4f}", *accuracies, f"{100 * curve.accuracy_barrier:.2f}"]
