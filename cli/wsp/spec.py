"""`wsp spec`: derive and show the symmetry of a network."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import options
from wsp.console import Console, counted
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.symmetry.spec import Spec
    from weightspace.symmetry.verify import Verification
    from wsp.network import Network

_AXES_SHOWN = 3


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
    arch: options.Arch = None,
    input_shape: options.InputShape = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Derive which axes of which tensors may be permuted together without changing the function."""
    console = Console(as_json=as_json, quiet=quiet)
    shape = options.positive_integers("--input-shape", input_shape)
    with console.owning_stdout():
        _run(console, model, arch, shape, output, verify=verify, seed=seed)


def _run(
    console: Console,
    model: str,
    arch: str | None,
    input_shape: tuple[int, ...] | None,
    output: Path | None,
    *,
    verify: bool,
    seed: int,
) -> None:
    from weightspace.errors import SpecError, VerificationError
    from wsp.network import verified
    from wsp.outputs import check_file

    if output is not None:
        check_file(output, [Path(model.rpartition(":")[0] or model), Path(model)])
    network = _network(model, arch, input_shape, console, runs=verify)
    verification: Verification | None = None
    if verify:
        if network.program is None:
            raise SpecError(f"{model}: a saved spec has no network to verify it on; name the network instead")
        verification = verified(network, console, seed=seed, thorough=True)
    holds = verification is None or verification.verified
    if output is not None and holds:
        network.spec.save(output)
    _show(console, model, network.spec, verification)
    if verification is not None and not holds:
        suspects = ", ".join((*verification.wrong, *verification.insensitive)) or "unknown"
        raise VerificationError(
            f"{model}: expected the derived symmetry to hold, found that it does not (groups {suspects}); do not use "
            "it, and report the network"
        )
    if output is not None:
        console.line(f"saved to {output}")


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


def _show(console: Console, model: str, spec: Spec, verification: Verification | None) -> None:
    console.document({**_document(model, spec, verification), "notes": console.notes})
    rows = [
        (
            group.name,
            f"{group.size:,}",
            ", ".join(group.kinds),
            _axes(spec.occurrences(group.name)),
            ", ".join(group.depends_on),
        )
        for group in spec.groups
    ]
    if rows:
        console.table(("group", "#size", "kinds", "tensors [axis]", "depends on"), rows, title=model)
    else:
        console.line(f"{model}: nothing can be permuted")
    console.line(
        f"{counted(len(rows), 'group')}; {100 * spec.completeness:.1f} % of the parameters lie on an axis that moves"
    )
    reasons: dict[str, list[str]] = defaultdict(list)
    for frozen in spec.frozen:
        reasons[frozen.reason].append(f"{frozen.tensor}[{frozen.axis}]")
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
        console.table(
            ("frozen by", "#axes", "for example"),
            [(reason, f"{len(axes):,}", ", ".join(axes[:_AXES_SHOWN])) for reason, axes in ordered],
        )
    if verification is not None:
        _show_verification(console, verification)


def _show_verification(console: Console, result: Verification) -> None:
    console.line(
        f"{'verified' if result.verified else 'NOT verified'}: random elements change the output by at most "
        f"{result.max_error:.1e} (allowed {result.tolerance:.1e}, rounding alone {result.noise:.1e})"
    )
    if result.wrong:
        console.line(f"these groups change the function: {', '.join(result.wrong)}")
    if result.insensitive:
        console.line(f"a wrong element of these did not change the function: {', '.join(result.insensitive)}")


def _axes(axes: list[tuple[str, int]]) -> str:
    shown = ", ".join(f"{tensor}[{axis}]" for tensor, axis in axes[:_AXES_SHOWN])
    return shown if len(axes) <= _AXES_SHOWN else f"{shown} and {len(axes) - _AXES_SHOWN} more"


def _document(model: str, spec: Spec, verification: Verification | None) -> dict[str, Any]:
    return {
        "model": model,
        "hash": spec.hash,
        "groups": [
            {
                "name": group.name,
                "size": group.size,
                "kinds": list(group.kinds),
                "depends_on": list(group.depends_on),
                "axes": [{"tensor": tensor, "axis": axis} for tensor, axis in spec.occurrences(group.name)],
            }
            for group in spec.groups
        ],
        "completeness": spec.completeness,
        "frozen": [{"tensor": f.tensor, "axis": f.axis, "size": f.size, "reason": f.reason} for f in spec.frozen],
        "verified": None if verification is None else verification.verified,
        "max_error": None if verification is None else verification.max_error,
        "verification": None if verification is None else verification.to_json(),
    }
