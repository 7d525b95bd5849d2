"""`wsp transport`: carry what was learned on one base into the coordinates of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import options
from wsp.console import Console, counted
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors
from wsp.pair import PairRequest

if TYPE_CHECKING:
    from weightspace.checkpoint import Provenance
    from wsp.aligning import AlignedPair
    from wsp.pair import Pair


@dataclass(frozen=True)
class _Request:
    """What is carried where: `pair.a` is the base that it goes to, `pair.b` the one that it comes from."""

    delta: Path
    output: Path
    scale: float
    pair: PairRequest
    dry_run: bool

    @property
    def inputs(self) -> list[Path]:
        return [self.delta, self.pair.a, self.pair.b]


@reports_errors
def transport(
    delta: Annotated[
        Path,
        typer.Argument(metavar="DELTA", help="A fine-tune of the base --from, or the folder of a LoRA adapter of it."),
    ],
    base: Annotated[Path, typer.Option("--from", metavar="A", help="The base that DELTA was trained on.")],
    target: Annotated[Path, typer.Option("--to", metavar="B", help="The base that it is to work on.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="OUT", help="The fine-tune or adapter of B: a .safetensors file, or a folder."
        ),
    ],
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    scale: Annotated[
        float, typer.Option("--scale", metavar="X", help="How much of a fine-tune's difference is added.")
    ] = 1.0,
    method: options.Method = "weights",
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    data: options.Data = None,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Align A to B, and carry a fine-tune or an adapter of A along: B learns what A was taught, without training.

    Of a fine-tune F the result is B plus the difference F - A in the coordinates of B. An adapter stays an adapter
    (wsp adapter fuses, extracts and merges them).
    """
    console = Console(as_json=as_json, quiet=quiet)
    pair = PairRequest(
        target, base, arch, activation, options.positive_integers("--input-shape", input_shape),
        data, options.floats("--mean", mean), options.floats("--std", std), method, restarts, seed, device,
        match_samples,
    )  # fmt: skip
    with console.owning_stdout():
        _run(console, _Request(delta, output, scale, pair, dry_run))


def _run(console: Console, request: _Request) -> None:
    from weightspace.checkpoint import check_output, is_adapter, open_adapter, open_checkpoint
    from wsp.aligning import align_pair, show_alignment
    from wsp.pair import opened

    check_output(request.output, request.inputs)
    carry = _carry_adapter if is_adapter(request.delta) else _carry_fine_tune
    if request.scale != 1.0 and carry is _carry_adapter:
        raise typer.BadParameter("an adapter has its own: set lora_alpha in its configuration", param_hint="--scale")
    pair = opened(request.pair, console, evaluates=False)
    if request.dry_run:
        adapted = carry is _carry_adapter
        carried = open_adapter(request.delta).tensors if adapted else open_checkpoint(request.delta)
        tell(console, request.output, stored(carried))
        return
    result = align_pair(pair, console)
    told = carry(console, request, pair, result)
    document = {"delta": str(request.delta), "from": str(request.pair.b), "to": str(request.pair.a), **told}
    console.document({**document, **result.alignment.report(), "output": str(request.output), "notes": console.notes})
    show_alignment(console, result, f"{request.pair.b} aligned to {request.pair.a}")
    console.line(f"{told['kind']} of {counted(told['tensors'], 'tensor')} written to {request.output}")


def _carry_adapter(console: Console, request: _Request, pair: Pair, result: AlignedPair) -> dict[str, Any]:
    from weightspace.align.transport import transport_adapter
    from weightspace.checkpoint import open_adapter, write_adapter

    adapter = open_adapter(request.delta)
    if request.scale != 1.0:
        raise typer.BadParameter(
            "an adapter has its own scale; set lora_alpha in its configuration", param_hint="--scale"
        )
    swapped = bool(adapter.config.get("fan_in_fan_out", False))
    tensors = transport_adapter(adapter.tensors, result.alignment, fan_in_fan_out=swapped)
    config = {**adapter.config, "base_model_name_or_path": str(request.pair.a)}
    write_adapter(
        request.output, tensors, config,
        provenance=_provenance(request, pair, result, adapter.tensors.sha256()), inputs=request.inputs,
    )  # fmt: skip
    return {"kind": "adapter", "tensors": len(tensors), "replaced": []}


def _carry_fine_tune(console: Console, request: _Request, pair: Pair, result: AlignedPair) -> dict[str, Any]:
    from weightspace.align.transport import transport_fine_tune
    from weightspace.checkpoint import check_finite, companions_of, open_checkpoint, write_checkpoint

    fine = open_checkpoint(request.delta)
    check_finite(fine)
    carried = transport_fine_tune(fine, pair.b, pair.a, result.alignment, scale=request.scale)
    write_checkpoint(
        request.output, carried,
        provenance=_provenance(request, pair, result, fine.sha256()),
        aliases=fine.aliases(), inputs=request.inputs, companions=companions_of(fine),
    )  # fmt: skip
    if carried.replaced:
        console.note(f"taken over whole, since A has none of that shape: {', '.join(carried.replaced)}")
    return {"kind": "fine-tune", "tensors": len(fine), "replaced": carried.replaced}


def _provenance(request: _Request, pair: Pair, result: AlignedPair, digest: str) -> Provenance:
    from dataclasses import replace

    recipe = {"delta": str(request.delta), "scale": request.scale, **result.recipe()}
    made = pair.provenance("wsp transport", recipe)
    return replace(made, inputs={**made.inputs, str(request.delta): digest})
