"""`wsp diff`: what two networks have in common, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint
    from weightspace.evaluate import Comparison, LayerBarriers
    from wsp.data import CommandData
    from wsp.network import Network

_SAMPLES = 500


@reports_errors
def diff(
    a: options.A,
    b: Annotated[Path, typer.Argument(metavar="B", help="Checkpoint to compare with it.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PLOT", help="A picture: a name ending in .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    data: options.Data = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, metavar="N", help="Examples to measure every layer on, with --data.")
    ] = _SAMPLES,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            metavar="K,K",
            help="Symmetries to align by. Default: permutation, and all of scale, sign, linear, rotation, rotary that "
            "the network has.",
            show_default=False,
        ),
    ] = None,
    restarts: Annotated[
        int, typer.Option("--restarts", min=1, metavar="N", help="Starts of the alignment, of which the best is kept.")
    ] = 1,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Compare two checkpoints, as they are and aligned: identical, equivalent, fine-tuned or unrelated.

    Equivalent networks are the same up to symmetry. Fine-tuned ones have common weights in their past: one was trained
    on from the other, or both from one start. With --data every layer alone is moved halfway from A to B.
    """
    console = Console(as_json=as_json, quiet=quiet)
    request = _Request(
        a, b, output, data, samples, arch, activation, options.positive_integers("--input-shape", input_shape),
        None if kinds is None else options.names("--kinds", kinds), restarts, options.floats("--mean", mean),
        options.floats("--std", std), seed, device,
    )  # fmt: skip
    with console.owning_stdout():
        _run(console, request)


@dataclass(frozen=True)
class _Request:
    """What the user asked for."""

    a: Path
    b: Path
    output: Path | None
    data: Path | None
    samples: int
    arch: str | None
    activation: str | None
    input_shape: tuple[int, ...] | None
    kinds: tuple[str, ...] | None
    restarts: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    seed: int
    device: str


def _run(console: Console, request: _Request) -> None:
    from weightspace.align import check_kinds
    from weightspace.evaluate import check_plot_path, compare_stored, plot_comparison
    from wsp.device import checked_device
    from wsp.diff_report import show_comparison
    from wsp.network import open_pair
    from wsp.outputs import check_file

    if request.output is not None:
        check_plot_path(request.output)
        check_file(request.output, [path for path in (request.a, request.b, request.data) if path is not None])
    if request.kinds is not None:
        check_kinds(request.kinds)
    checked_device(request.device)
    a, b = open_pair(request.a, request.b, console, same=False)
    _note_types(console, a, b)
    found, layers = compare_stored(a, b), None
    if found is None:
        found, layers = _by_network(console, request, a, b)
    elif request.data is not None:
        console.note("--data was not used: without two different networks of one architecture there is nothing to run")
    title = f"{request.a.name} and {request.b.name}"
    if request.output is not None:
        plot_comparison(found, request.output, title=title, layers=layers)
    console.document(
        {
            "a": str(request.a),
            "b": str(request.b),
            **found.to_json(),
            "layers": None if layers is None else layers.to_json(),
            "output": None if request.output is None else str(request.output),
            "notes": console.notes,
        }
    )
    show_comparison(console, found, layers, title)
    if request.output is not None:
        console.line(f"picture in {request.output}")


def _by_network(
    console: Console, request: _Request, a: Checkpoint, b: Checkpoint
) -> tuple[Comparison, LayerBarriers | None]:
    """The comparison that needs to know the symmetry, and layer by layer what the data say."""
    from weightspace.evaluate import compare, layer_barriers
    from wsp.aligning import on
    from wsp.device import checked_device
    from wsp.network import network_of, require_verified
    from wsp.pair import tell_inferred

    network = network_of((a, b), arch=request.arch, activation=request.activation, input_shape=request.input_shape)
    tell_inferred(network.source, console)
    data = _checked_data(console, request, network)
    if network.program is not None:
        require_verified(network, console, seed=request.seed)
    kinds = _kinds(console, request, network)
    a_state, b_state = (network.untied(checkpoint.tensors()) for checkpoint in (a, b))
    device = checked_device(request.device)
    runs = network.source is not None and network.source.evaluation_refusal() is None and not network.streams
    with console.progress("aligning") as step:
        found = compare(
            a_state, b_state, network.spec, program=network.program if runs else None, kinds=kinds,
            restarts=request.restarts, seed=request.seed, device=device, progress=step,
        )  # fmt: skip
    if data is None or found.aligned is None or network.program is None:
        return found, None
    with console.progress("layers") as step:
        layers = layer_barriers(
            network.program,
            on(device, a_state),
            on(device, b_state),
            on(device, found.aligned),
            network.spec,
            lambda: data.evaluation(request.samples),
            progress=step,
        )
    return found, layers


def _kinds(console: Console, request: _Request, network: Network) -> tuple[str, ...]:
    """All kinds, unless the user chose or nobody said what stands between the layers."""
    from weightspace.source import StackSource
    from weightspace.symmetry.freedom import KINDS
    from wsp.network import require_activation

    chosen = ("permutation", *KINDS) if request.kinds is None else request.kinds
    if request.kinds is not None and set(chosen) != {"permutation"}:
        require_activation(request.a, network.source)
    elif isinstance(network.source, StackSource) and network.source.activation is None:
        console.note(
            "scales and signs depend on what stands between the layers, so B was aligned by permutations alone; pass "
            "--activation relu (tanh, gelu, ...)"
        )
        return ("permutation",)
    return chosen


def _checked_data(console: Console, request: _Request, network: Network) -> CommandData | None:
    """The data, where the network can run on them."""
    from weightspace.errors import SourceError
    from wsp.data import command_data
    from wsp.pair import no_network

    if request.data is not None:
        refusal = no_network(network) if network.source is None else network.source.evaluation_refusal()
        if refusal is not None:
            raise SourceError(refusal)
    return command_data(request.data, request.mean, request.std, network.source, console, seed=request.seed)


def _note_types(console: Console, a: Checkpoint, b: Checkpoint) -> None:
    """Say where numbers are compared in the narrower of two types."""
    other = [name for name in a if name in b and a.info(name).dtype != b.info(name).dtype]
    if other:
        types = " and ".join(str(each.info(other[0]).dtype).removeprefix("torch.") for each in (a, b))
        console.note(
            f"{len(other)} tensors are stored in two types ({other[0]}: {types}); equal means equal in the narrower one"
        )
