"""`wsp canonicalize`: one representative of all equivalent weights, without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from weightspace.canonical import Canonical
    from weightspace.checkpoint import Checkpoint
    from weightspace.source import Source
    from wsp.network import Network

_LARGEST_SYMMETRY_ERROR = 1e-6
_LARGEST_PRESERVATION_ERROR = 1e-3
_KINDS = "permutation,scale,sign"


@reports_errors
def canonicalize(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint: a file or a folder.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="The result: a .safetensors file, or a folder.")
    ],
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    kinds: Annotated[
        str,
        typer.Option(
            "--kinds",
            metavar="K,K",
            help="What to bring into canonical form: permutation, scale, sign, linear (maps inside of heads), "
            "rotation (of a residual stream).",
        ),
    ] = _KINDS,
    seed: options.Seed = 0,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring weights to the one form that all equivalent weights share: units sorted, scales even, signs positive.

    Two checkpoints that differ by such symmetries become the same: bit for bit with --kinds permutation, else up to
    rounding. Their function stays the same.
    """
    console = Console(as_json=as_json, quiet=quiet)
    shape = options.positive_integers("--input-shape", input_shape)
    chosen = options.names("--kinds", kinds)
    request = _Request(checkpoint, output, arch, activation, shape, chosen, seed, dry_run)
    with console.owning_stdout():
        _run(console, request)


@dataclass(frozen=True)
class _Request:
    """What the user asked for."""

    checkpoint: Path
    output: Path
    arch: str | None
    activation: str | None
    input_shape: tuple[int, ...] | None
    kinds: tuple[str, ...]
    seed: int
    dry_run: bool


@dataclass(frozen=True)
class _Errors:
    """Relative change of the outputs; None where no network was at hand.

    Attributes:
        symmetry: Under the transformation itself, in float64.
        preservation: With the weights that are written, in their types.
    """

    symmetry: float | None = None
    preservation: float | None = None


def _run(console: Console, request: _Request) -> None:
    from weightspace.canonical import canonicalize as canonical_form
    from weightspace.canonical import check_kinds
    from weightspace.checkpoint import (
        Provenance,
        check_finite,
        check_output,
        companions_of,
        open_checkpoint,
        write_checkpoint,
    )
    from wsp.canonical_report import show_canonical
    from wsp.network import network_of, require_verified

    check_kinds(request.kinds)
    check_output(request.output, [request.checkpoint])
    checkpoint = open_checkpoint(request.checkpoint)
    for note in checkpoint.notes:
        console.note(f"{checkpoint.path}: {note}")
    check_finite(checkpoint)
    network = network_of(
        (checkpoint,), arch=request.arch, activation=request.activation, input_shape=request.input_shape
    )
    _tell_inferred(console, request, network.source)
    if network.program is not None:
        require_verified(network, console, seed=request.seed)
    if request.dry_run:
        tell(console, request.output, stored(checkpoint))
        return
    tensors = checkpoint.tensors()
    result = canonical_form(network.under_spec_names(tensors), network.spec, request.kinds)
    written = _under_own_names(network, tensors, result)
    errors = _checked(console, checkpoint, network, tensors, written, result)
    recipe = {
        "arch": network.label,
        "activation": request.activation,
        "spec": network.spec.hash,
        "kinds": list(request.kinds),
        "preservation_error": errors.preservation,
        "unresolved": result.unresolved,
    }
    inputs = {str(checkpoint.path): checkpoint.sha256()}
    write_checkpoint(
        request.output,
        written,
        provenance=Provenance("wsp canonicalize", recipe, inputs, seed=request.seed),
        aliases=checkpoint.aliases(),
        inputs=[request.checkpoint],
        companions=companions_of(checkpoint),
    )
    document = {
        "checkpoint": str(request.checkpoint),
        "kinds": list(request.kinds),
        "symmetry_error": errors.symmetry,
        "preservation_error": errors.preservation,
        **result.report(),
        "output": str(request.output),
    }
    console.document({**document, "notes": console.notes})
    show_canonical(console, result, f"{request.checkpoint} in canonical form")
    if errors.preservation is not None:
        console.line(f"outputs before and after differ by {errors.preservation:.1e} of their size")
    console.line(f"written to {request.output}")


def _tell_inferred(console: Console, request: _Request, source: Source | None) -> None:
    """Say what was read off the tensors; refuse to rescale or flip units behind an activation that nobody named.

    Raises:
        SourceError: The layers were read off the tensors, and no activation was given.
    """
    from weightspace.source import StackSource
    from wsp.network import require_activation

    if not isinstance(source, StackSource):
        return
    if set(request.kinds) != {"permutation"}:
        require_activation(request.checkpoint, source)
    layers = " > ".join(layer.name for layer in source.layers)
    between = source.activation or "relu (assumed, for checks only)"
    console.note(f"architecture read off the tensors: {layers}, {between} between them")


def _under_own_names(network: Network, tensors: Mapping[str, Tensor], result: Canonical) -> dict[str, Tensor]:
    aliases = network.spec.aliases
    return {name: result.tensors[name if name in result.tensors else aliases[name]] for name in tensors}


def _checked(
    console: Console,
    checkpoint: Checkpoint,
    network: Network,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    result: Canonical,
) -> _Errors:
    """Compare outputs before and after.

    Raises:
        VerificationError: The function has changed.
    """
    from weightspace.errors import VerificationError
    from weightspace.symmetry.verify import relative_error

    if network.program is None:
        console.note("a saved spec has no network to run, so the outputs before and after were not compared")
        return _Errors()
    outputs = network.program.outputs
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in before.items()}
    expected = outputs(wide)
    symmetry = relative_error(outputs(result.transformation.apply(wide)), expected)
    stored = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in after.items()}
    preservation = relative_error(outputs(stored), expected)
    coarse = any(tensor.is_floating_point() and tensor.dtype.itemsize < 4 for tensor in after.values())
    if not symmetry <= _LARGEST_SYMMETRY_ERROR or (not coarse and not preservation <= _LARGEST_PRESERVATION_ERROR):
        raise VerificationError(
            f"{checkpoint.path}: expected the same outputs in canonical form, found a relative difference of "
            f"{max(symmetry, preservation):.1e}; nothing was written: run wsp spec --verify on this network "
            "and report it"
        )
    if coarse and preservation > _LARGEST_PRESERVATION_ERROR:
        console.warn(
            f"the weights are stored in a type so coarse that the outputs change by {preservation:.1e} of their size; "
            "convert them to float32 first, or use --kinds permutation"
        )
    return _Errors(symmetry, preservation)
