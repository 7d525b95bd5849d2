"""`wsp spec`: derive and show the symmetry of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.symmetry.verify import Verification
    from wsp.network import Network


@reports_errors
def spec(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="timm:NAME, a transformers folder, FILE.py:function, package.module:function, a saved spec.json, or a "
            "checkpoint.",
        ),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every group numerically on random weights in float64.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SPEC.json", help="Save the spec for --arch.", show_default=False),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="FILE.svg", help="Draw the network, every axis in the colour of its group.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="MODULE", help="Draw just this module (--picture).", show_default=False),
    ] = None,
    arch: options.Arch = None,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Derive which axes of which tensors may be permuted together without changing the function."""
    console = Console(as_json=as_json, quiet=quiet)
    shape = options.positive_integers("--input-shape", input_shape)
    if only is not None and picture is None:
        raise typer.BadParameter("chooses what --picture draws, and there is no --picture", param_hint="--only")
    request = _Request(model, arch, shape, output, picture, only, verify, seed)
    with console.owning_stdout():
        _run(console, request)


@dataclass(frozen=True)
class _Request:
    """What the user asked for."""

    model: str
    arch: str | None
    input_shape: tuple[int, ...] | None
    output: Path | None
    picture: Path | None
    only: str | None
    verify: bool
    seed: int

    def check_outputs(self) -> None:
        """Refuse, before any work, files that cannot be written or would overwrite an input."""
        from weightspace.errors import OutputError
        from wsp.outputs import check_file

        sources = [source for source in (self.model, self.arch) if source is not None]
        inputs = [Path(name) for source in sources for name in (source, source.rpartition(":")[0] or source)]
        if self.output is not None:
            check_file(self.output, inputs)
        if self.picture is not None:
            if self.picture.suffix.lower() != ".svg":
                raise OutputError(
                    f"{self.picture}: expected a name that ends in .svg, found {self.picture.name!r}; rename it (any "
                    "browser shows such a picture, and prints it to other formats)"
                )
            check_file(self.picture, inputs)
            if self.output is not None and self.picture.resolve() == self.output.resolve():
                raise OutputError(f"{self.picture}: expected the picture apart from the spec, found -o says the same")


def _run(console: Console, request: _Request) -> None:
    # Before anything heavy is loaded.
    request.check_outputs()
    _check_source(request.model)

    from weightspace.atomic import explain_os_errors, new_files
    from weightspace.errors import SpecError, VerificationError
    from wsp.network import verified
    from wsp.spec_report import show_spec

    model = request.model
    network = _network(model, request.arch, request.input_shape, console, runs=request.verify)
    drawing = _drawing(request, network)
    verification: Verification | None = None
    if request.verify:
        if network.program is None:
            raise SpecError(f"{model}: a saved spec has no network to verify it on; name the network instead")
        verification = verified(network, console, seed=request.seed, thorough=True)
    holds = verification is None or verification.verified
    if request.output is not None and holds:
        network.spec.save(request.output)
    if request.picture is not None and holds:
        with new_files(request.picture) as (temporary,), explain_os_errors(request.picture):
            temporary.write_text(drawing, encoding="utf-8")
    files = {"output": request.output, "picture": request.picture}
    written = {what: str(path) if path is not None and holds else None for what, path in files.items()}
    show_spec(console, model, network.spec, verification, written)
    if verification is not None and not holds:
        suspects = ", ".join((*verification.wrong, *verification.insensitive)) or "unknown"
        raise VerificationError(
            f"{model}: expected the derived symmetry to hold, found that it does not (groups {suspects}); do not use "
            "it, and report the network"
        )
    if request.output is not None:
        console.line(f"saved to {request.output}")
    if request.picture is not None:
        console.line(f"picture in {request.picture}")


def _drawing(request: _Request, network: Network) -> str:
    """The picture as text; empty where none is wanted."""
    from weightspace.errors import SpecError
    from weightspace.symmetry.picture import draw_spec

    if request.picture is None:
        return ""
    try:
        return draw_spec(network.spec, title=request.model, only=request.only)
    except SpecError as error:
        raise SpecError(f"{request.picture}: {error}") from error


def _check_source(model: str) -> None:
    """Refuse what is neither a path that exists nor a source.

    Raises:
        SourceError: Naming the argument and what could stand there.
    """
    from weightspace.errors import SourceError

    sources = "timm:NAME, a transformers folder, FILE.py:function, package.module:function, spec.json or a checkpoint"
    if not model.strip():
        raise SourceError(f"MODEL: expected {sources}, found nothing")
    path = Path(model).expanduser()
    if path.suffix == ".py" and path.is_file():
        raise SourceError(f"{model}: expected the function that returns the network as well; write {model}:NAME")
    if ":" not in model and not path.exists():
        raise SourceError(f"{model}: no such file or folder; expected {sources}")


def _network(
    model: str, arch: str | None, input_shape: tuple[int, ...] | None, console: Console, *, runs: bool
) -> Network:
    """MODEL as a source, or as a checkpoint whose source is `--arch` or inferred."""
    from weightspace.checkpoint import open_checkpoint
    from weightspace.errors import SourceError
    from wsp.network import is_saved_spec, network_of

    path = Path(model).expanduser()
    folder_of_source = path.is_dir() and (path / "config.json").is_file() and arch is None
    if path.exists() and not folder_of_source and not is_saved_spec(model):
        checkpoint = open_checkpoint(path)
        for note in checkpoint.notes:
            console.note(f"{path}: {note}")
        return network_of((checkpoint,), arch=arch, input_shape=input_shape, runs=runs)
    if arch is not None:
        raise SourceError(f"{model}: expected a checkpoint beside --arch, found none of that name; check the path")
    return network_of((), arch=model, input_shape=input_shape, runs=runs)
