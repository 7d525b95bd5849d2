"""`wsp merge`: one network from two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors
from wsp.pair import PairRequest


@reports_errors
def merge(
    a: options.A,
    b: options.B,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="The merged network: a .safetensors file, or a folder."),
    ],
    t: Annotated[float, typer.Option("--t", min=0.0, max=1.0, metavar="T", help="Share of B: A + T (B - A).")] = 0.5,
    no_align: Annotated[
        bool, typer.Option("--no-align", help="Interpolate the weights as they are, without aligning B first.")
    ] = False,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    method: options.Method = "weights",
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    kinds: options.Kinds = options.DEFAULT_KINDS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    data: options.Data = None,
    mean: options.Mean = None,
    std: options.Std = None,
    reset_samples: options.ResetSamples = options.DEFAULT_RESET_SAMPLES,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Align B to A and average their weights.

    With --data the running statistics of batch norms are measured again on the merged network.
    """
    console = Console(as_json=as_json, quiet=quiet)
    request = PairRequest(
        a, b, arch, activation, options.positive_integers("--input-shape", input_shape),
        data, options.floats("--mean", mean), options.floats("--std", std), method, restarts, seed, device,
        match_samples, options.names("--kinds", kinds),
    )  # fmt: skip
    with console.owning_stdout():
        _run(console, request, output, t, reset_samples, no_align=no_align)


def _run(console: Console, request: PairRequest, output: Path, t: float, reset_samples: int, *, no_align: bool) -> None:
    import torch

    from weightspace.checkpoint import check_output, companions_of, write_checkpoint
    from weightspace.merge import merge as merge_weights
    from wsp.aligning import align_pair, on, show_alignment
    from wsp.pair import opened

    check_output(output, [request.a, request.b])
    pair = opened(request, console, evaluates=False, network=not no_align or request.data is not None)
    result = None if no_align else align_pair(pair, console)
    a, b = pair.a.tensors(), pair.b.tensors() if result is None else dict(result.aligned)
    program = None if pair.network is None else pair.network.program
    batches = None if pair.data is None else pair.data.statistics(reset_samples)
    merged = merge_weights(on(pair.device, a), on(pair.device, b), t=t, program=program, batches=batches)
    for note in merged.notes:
        console.warn(note)
    if pair.data is not None and merged.statistics == "none":
        console.note("the network has no batch norm, so there were no statistics to measure on --data")
    recipe = {"t": t, "aligned": not no_align, "statistics": merged.statistics, "reset_samples": reset_samples}
    recipe |= {} if result is None else result.recipe()
    write_checkpoint(
        output,
        on(torch.device("cpu"), merged.tensors),
        provenance=pair.provenance("wsp merge", recipe),
        aliases=pair.a.aliases(),
        inputs=[request.a, request.b],
        companions=companions_of(pair.a),
    )
    document = {"a": str(request.a), "b": str(request.b), "t": t, "aligned": not no_align}
    document |= {} if result is None else result.alignment.report()
    console.document({**document, "statistics": merged.statistics, "output": str(output), "notes": console.notes})
    if result is not None:
        show_alignment(console, result, f"{request.b} aligned to {request.a}")
    told = {"measured": "measured on the data", "interpolated": "interpolated", "none": "none in this network"}
    console.line(f"merged at t = {t:g}; statistics of batch norms: {told[merged.statistics]}")
    console.line(f"written to {output}")
