"""`wsp adapter extract`: an adapter out of a fine-tune."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsp import adapter_options, options
from wsp.adapter_report import shown, tell
from wsp.console import Console, counted
from wsp.dry_run import DryRun
from wsp.dry_run import tell as tell_dry_run
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint, TensorInfo
    from weightspace.source import Source


@reports_errors
def extract(
    base: adapter_options.Base,
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="A fine-tune of it.")],
    output: adapter_options.OutputFolder,
    rank: adapter_options.Rank = None,
    energy: adapter_options.Energy = None,
    drop: adapter_options.Drop = None,
    whole: Annotated[
        str | None,
        typer.Option(
            "--whole", metavar="NAME,...", help="Modules to save whole where they changed.", show_default=False
        ),
    ] = None,
    arch: options.Arch = None,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make an adapter out of what fine-tuning changed, by truncated singular value decompositions.

    Linear layers, convolutions and embeddings get factors of low rank, and biases with them; whatever else changed
    (norms, heads) is saved whole, so that only what the ranks cut off is lost. The table says how much that is.
    """
    console = Console(as_json=as_json, quiet=quiet)
    if rank is None and energy is None:
        raise typer.BadParameter("expected one of both, found neither", param_hint="--rank or --energy")
    with console.owning_stdout():
        from weightspace.checkpoint import (
            Provenance,
            check_adapter_output,
            check_finite,
            open_checkpoint,
            write_adapter,
        )
        from weightspace.merge.adapters import extract as extracted
        from weightspace.merge.adapters import layers_of

        check_adapter_output(output, [base, tuned])
        first, second = open_checkpoint(base), open_checkpoint(tuned)
        for checkpoint in (first, second):
            for note in checkpoint.notes:
                console.note(f"{checkpoint.path}: {note}")
            check_finite(checkpoint)
        layers = layers_of(_source(arch, first, second).build(meta=True))
        if dry_run:
            tell_dry_run(console, output, (_largest(second.info(name), rank) for name in second), at_most=True)
            return
        recipe: dict[str, Any] = {
            "rank": rank,
            "energy": energy,
            "drop": adapter_options.names("--drop", drop),
            "whole": adapter_options.names("--whole", whole),
        }
        with console.progress("decomposing") as step:
            result = extracted(
                first, second, layers,
                rank=rank, energy=energy, drop=recipe["drop"], whole=recipe["whole"], task=_task(second), progress=step,
            )  # fmt: skip
        for names, told in ((result.dropped, "stay as in the base"), (result.only_base, "are in the base alone")):
            if names:
                console.note(f"{counted(len(names), 'tensor')} {told}: {shown(names)}")
        inputs = {str(first.path): first.sha256(), str(second.path): second.sha256()}
        write_adapter(
            output, result.adapter.tensors, result.adapter.config(base=str(base)),
            provenance=Provenance("wsp adapter extract", recipe, inputs), inputs=[base, tuned],
        )  # fmt: skip
        told = {"base": str(base), "tuned": str(tuned), **recipe, "dropped": result.dropped, "error": result.error}
        tell(console, output, result.adapter, told)
        console.line(f"lost of all differences: {result.error:.2%} of their norm")
        console.line(f"written to {output}")


def _largest(info: TensorInfo, rank: int | None) -> TensorInfo:
    """What a tensor may come to: its two factors, or the whole, in the type that is computed in."""
    import math

    import torch

    rows = info.shape[0] if info.shape else 1
    columns = math.prod(info.shape[1:])
    low = min(rows, columns) if rank is None else min(rank, rows, columns)
    elements = max(rows * columns, low * (rows + columns))
    return replace(info, shape=(elements,), dtype=torch.promote_types(info.dtype, torch.float32))


def _source(arch: str | None, base: Checkpoint, tuned: Checkpoint) -> Source:
    from weightspace.source import resolve_source

    if arch is None and tuned.config_path is None and base.config_path is not None:
        return resolve_source(str(base.config_path.parent), checkpoint=tuned)
    return resolve_source(arch, checkpoint=tuned)


def _task(tuned: Checkpoint) -> str | None:
    """PEFT's name of the task, from the configuration beside a fine-tune."""
    import json

    from weightspace.errors import SourceError
    from weightspace.merge.adapters import task_of

    if tuned.config_path is None:
        return None
    try:
        settings = json.loads(tuned.config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{tuned.config_path}: expected JSON, found: {error}; restore the file") from error
    return task_of(settings.get("architectures") or ()) if isinstance(settings, dict) else None
