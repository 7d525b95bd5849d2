"""`wsp align`: bring B into the coordinates of A."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors
from wsp.heap import give_back_when_freed
from wsp.pair import PairRequest

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint

_LARGEST_FILE = 1 << 30  # bytes
_SHARD = 1 << 29


@reports_errors
def align(
    a: options.A,
    b: options.B,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="The aligned B: a .safetensors file, or a folder.")
    ],
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    method: options.Method = "weights",
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    kinds: options.Kinds = options.DEFAULT_KINDS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    alignment: Annotated[
        Path | None,
        typer.Option(
            "--alignment", metavar="FILE", help="Save the group element that was found as well.", show_default=False
        ),
    ] = None,
    data: options.Data = None,
    mean: options.Mean = None,
    std: options.Std = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="Also compute what no alignment can exceed; slow on large networks.")
    ] = False,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            min=0.0,
            metavar="GB",
            help="Memory for weights and costs while aligning. Default: what the largest layer asks for, at least 1.",
            show_default=False,
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="Note every few minutes where the search is; the same command goes on from there after it was killed.",
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Permute the hidden units of B so that its weights come closest to those of A; its function stays the same.

    With --data the outputs before and after are compared on real inputs instead of random ones, and --method may be one
    that goes by activations or by the loss.
    """
    console = Console(as_json=as_json, quiet=quiet)
    request = PairRequest(
        a, b, arch, activation, options.positive_integers("--input-shape", input_shape),
        data, options.floats("--mean", mean), options.floats("--std", std), method, restarts, seed, device,
        match_samples, options.names("--kinds", kinds), bound, memory, journal,
    )  # fmt: skip
    with console.owning_stdout():
        _run(console, request, output, alignment, dry_run=dry_run)


def _run(console: Console, request: PairRequest, output: Path, alignment_file: Path | None, *, dry_run: bool) -> None:
    from weightspace.checkpoint import check_output, companions_of, write_checkpoint
    from wsp.aligning import align_pair, show_alignment
    from wsp.outputs import check_file
    from wsp.pair import opened

    give_back_when_freed()
    check_output(output, [request.a, request.b])
    if alignment_file is not None:
        check_file(alignment_file, [request.a, request.b, output])
    if request.journal is not None:
        check_file(request.journal, [request.a, request.b, output])
    pair = opened(request, console, evaluates=False)
    if dry_run:
        tell(console, output, stored(pair.b), beside=(alignment_file, request.journal))
        return
    result = align_pair(pair, console)
    provenance = pair.provenance("wsp align", result.recipe())
    write_checkpoint(
        output,
        result.aligned,
        provenance=provenance,
        aliases=pair.b.aliases(),
        inputs=[request.a, request.b],
        companions=companions_of(pair.b),
        max_shard_bytes=_shard_bytes(output, pair.b),
    )
    if alignment_file is not None:
        result.alignment.save(alignment_file)
    document = {"a": str(request.a), "b": str(request.b), **result.alignment.report(), "output": str(output)}
    console.document({**document, "notes": console.notes})
    show_alignment(console, result, f"{request.b} aligned to {request.a}")
    console.line(f"written to {output}")


def _shard_bytes(output: Path, checkpoint: Checkpoint) -> int | None:
    """Shards for a folder of large weights, so that no more than one is held while they are written."""
    from weightspace.checkpoint.guard import is_single_file

    size = sum(checkpoint.info(name).nbytes for name in checkpoint)
    return None if is_single_file(output) or size <= _LARGEST_FILE else _SHARD
