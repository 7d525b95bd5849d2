"""`wsp merge`: one network from two."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightspace.errors import DataError
from wsp import heads as both_heads
from wsp import options, repair
from wsp.console import Console
from wsp.errors import reports_errors
from wsp.features import Form, Merging, aligning_first
from wsp.pair import Pair, PairRequest
from wsp.pleas import merged_by_pleas
from wsp.scores import scores_of, show_scores
from wsp.sizing import sizing_of
from wsp.zipit import merged_by_zipit

if TYPE_CHECKING:
    from weightspace.merge import Merged

_TOLD = {"measured": "measured on the data", "interpolated": "interpolated", "none": "none in this network"}


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
    heads: Annotated[
        str | None,
        typer.Option(
            "--heads",
            metavar="both",
            help="both: of networks with different classes keep both heads, the outputs of A first; no labels.",
        ),
    ] = None,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="pleas: align by activations on --data, solve every layer for the mean features of both, train all "
            "towards their mean outputs. zipit: align likewise, then merge the units that are most alike, within each "
            "network and across. Neither needs labels. Else a way to align before averaging, as of wsp align.",
        ),
    ] = "weights",
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    kinds: options.Kinds = options.DEFAULT_KINDS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    data: options.Data = None,
    mean: options.Mean = None,
    std: options.Std = None,
    reset_samples: options.ResetSamples = options.DEFAULT_RESET_SAMPLES,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=0,
            metavar="N",
            help="With --method pleas: passes over the data that train all together.",
        ),
    ] = 8,
    size: Annotated[
        float | None,
        typer.Option(
            "--size",
            metavar="X",
            help="With --method pleas: how large the merged network may be, 1 for one of them, 2 for both side by "
            "side; units that are least alike are kept apart. OUT is then a folder.",
            show_default=False,
        ),
    ] = None,
    size_by: Annotated[
        str, typer.Option("--size-by", metavar="NAME", help="What --size counts: parameters or flops.")
    ] = "parameters",
    apart: Annotated[
        str | None,
        typer.Option(
            "--apart",
            metavar="GROUP=SHARE,...",
            help="In place of --size: the share kept apart of some groups, named as wsp spec shows them.",
            show_default=False,
        ),
    ] = None,
    repairs: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="After averaging rescale and shift every unit, so that on --data its mean and its standard deviation "
            "are the means of those in A and B (REPAIR); before batch norms their statistics do that.",
        ),
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Align B to A and average their weights, or merge their features with --method pleas or zipit.

    With --data the running statistics of batch norms are measured again on the merged network.
    """
    console = Console(as_json=as_json, quiet=quiet)
    request = PairRequest(
        a, b, arch, activation, options.positive_integers("--input-shape", input_shape),
        data, options.floats("--mean", mean), options.floats("--std", std), method, restarts, seed, device,
        match_samples, options.names("--kinds", kinds), heads=both_heads.shares_of(heads, t),
    )  # fmt: skip
    with console.owning_stdout():
        sizing = sizing_of(size, size_by, apart, method=method, output=output)
        by_features: dict[str, Merging] = {
            "pleas": partial(merged_by_pleas, passes=rounds, sizing=sizing),
            "zipit": merged_by_zipit,
        }
        if repairs:
            repair.check_repair(request, by_features)
        if method in by_features:
            _run_by_features(console, request, output, reset_samples, by_features[method], as_is=no_align or t != 0.5)
        else:
            _run(console, request, output, t, reset_samples, no_align=no_align, repairs=repairs)


def _run(
    console: Console, request: PairRequest, output: Path, t: float, reset_samples: int, *, no_align: bool, repairs: bool
) -> None:
    from weightspace.checkpoint import check_output
    from weightspace.merge import merge as merge_weights
    from wsp.aligning import align_pair, on, show_alignment
    from wsp.doubts import warn_of_data
    from wsp.pair import opened

    check_output(output, [request.a, request.b])
    pair = opened(request, console, evaluates=False, network=not no_align or request.data is not None)
    if repairs:
        repair.require_function(pair)
    warn_of_data(pair, console)
    result = None if no_align else align_pair(pair, console)
    a, b = pair.a.tensors(), pair.b.tensors() if result is None else dict(result.aligned)
    program = None if pair.network is None else pair.network.program
    batches = None if pair.data is None else pair.data.statistics(reset_samples)
    a, b, corrected = on(pair.device, a), on(pair.device, b), None
    if repairs:
        merged, corrected = repair.repaired(pair, console, a, b, t, samples=reset_samples)
    else:
        merged = merge_weights(a, b, t=t, program=program, batches=batches)
    for note in merged.notes:
        console.warn(note)
    if pair.data is not None and merged.statistics == "none" and not repairs:
        console.note("the network has no batch norm, so there were no statistics to measure on --data")
    recipe = {"t": t, "aligned": not no_align, "statistics": merged.statistics, "reset_samples": reset_samples}
    recipe |= ({} if result is None else result.recipe()) | repair.recipe(corrected)
    _write(output, pair, merged, recipe)
    document = {"a": str(request.a), "b": str(request.b), "t": t, "aligned": not no_align}
    document |= {} if result is None else result.alignment.report()
    document |= both_heads.recipe(pair) | repair.recipe(corrected)
    scores = scores_of(pair, merged.tensors, None, reset_samples)
    document |= {"scores": scores, "statistics": merged.statistics}
    console.document({**document, "output": str(output), "notes": console.notes})
    if result is not None:
        show_alignment(console, result, f"{request.b} aligned to {request.a}")
    both_heads.show_heads(console, pair)
    repair.show_repair(console, corrected)
    show_scores(console, scores)
    console.line(f"merged at t = {t:g}; statistics of batch norms: {_TOLD[merged.statistics]}")
    console.line(f"written to {output}")


def _run_by_features(
    console: Console, request: PairRequest, output: Path, reset_samples: int, merging: Merging, *, as_is: bool
) -> None:
    from weightspace.checkpoint import check_output
    from weightspace.merge import finished
    from wsp.aligning import align_pair, show_alignment
    from wsp.doubts import warn_of_data
    from wsp.pair import opened

    name, request = request.method, aligning_first(request, request.method)
    if as_is:
        raise DataError(f"--method {name}: expected neither --t nor --no-align, found one of them; drop it")
    check_output(output, [request.a, request.b])
    pair = opened(request, console, evaluates=False)
    warn_of_data(pair, console)
    result = align_pair(pair, console)
    found = merging(pair, result, console)
    assert pair.network is not None
    assert pair.network.program is not None
    assert pair.data is not None
    form = found.form
    dtypes = {name: tensor.dtype for name, tensor in pair.a.tensors().items()} if form is None else form.dtypes
    program = pair.network.program if form is None else form.program
    merged = finished(found.state, dtypes, program, pair.data.statistics(reset_samples))
    report = {**result.recipe(), **found.recipe, "statistics": merged.statistics}
    _write(output, pair, merged, {**report, "reset_samples": reset_samples}, form)
    document = {"a": str(request.a), "b": str(request.b), **result.alignment.report(), **report}
    scores = scores_of(pair, merged.tensors, None if form is None else program, reset_samples)
    document |= {**both_heads.recipe(pair), "scores": scores}
    console.document({**document, "output": str(output), "notes": console.notes})
    show_alignment(console, result, f"{request.b} aligned to {request.a}")
    found.show(console)
    both_heads.show_heads(console, pair)
    show_scores(console, scores)
    console.line(f"merged by {found.title}; statistics of batch norms: {_TOLD[merged.statistics]}")
    console.line(f"written to {output}")


def _write(output: Path, pair: Pair, merged: Merged, recipe: dict[str, Any], form: Form | None = None) -> None:
    import torch

    from weightspace.checkpoint import companions_of, write_checkpoint
    from wsp.aligning import on

    beside = (companions_of(pair.a), {}) if form is None else (form.companions, form.texts)
    companions, texts = both_heads.described(pair, *beside)
    write_checkpoint(
        output,
        on(torch.device("cpu"), merged.tensors | ({} if form is None else dict(form.constants))),
        provenance=pair.provenance("wsp merge", recipe),
        aliases=pair.a.aliases() if form is None or form.as_it_was else {},
        inputs=[pair.request.a, pair.request.b],
        companions=companions,
        texts=texts,
    )
