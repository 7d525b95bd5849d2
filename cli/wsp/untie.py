"""`wsp untie`: a transformers model with an output head of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp import options
from wsp.console import Console, counted
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint


@reports_errors
def untie(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="A transformers folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The result: a new folder.")],
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Give a transformers model an output head of its own, where it shares the matrix of the embeddings.

    Rotations of the residual stream are a symmetry only when embeddings and output head are separate matrices: the
    scale of the last norm must be folded into the head alone. The function stays the same, and so does all but the
    head: its matrix is stored as well, and config.json says tie_word_embeddings: false.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        _run(console, checkpoint, output, dry_run=dry_run)


def _run(console: Console, path: Path, output: Path, *, dry_run: bool) -> None:
    from weightspace.checkpoint import (
        Provenance,
        check_finite,
        check_output,
        companions_of,
        open_checkpoint,
        write_checkpoint,
    )
    from weightspace.source import untie as untied_model

    check_output(output, [path])
    _check_new_folder(output)
    checkpoint = open_checkpoint(path)
    for note in checkpoint.notes:
        console.note(f"{checkpoint.path}: {note}")
    check_finite(checkpoint)
    result = untied_model(checkpoint)
    for note in result.notes:
        console.note(f"{checkpoint.path}: {note}")
    if dry_run:
        copies = {name: checkpoint.info(first) for name, first in result.copies.items()}
        tell(console, output, stored(checkpoint, copies))
        return
    recipe = {"copies": dict(result.copies), "preservation_error": result.preservation_error}
    write_checkpoint(
        output,
        result.tensors,
        provenance=Provenance("wsp untie", recipe, {str(checkpoint.path): checkpoint.sha256()}),
        aliases=result.aliases,
        max_shard_bytes=_shard_bytes(checkpoint),
        inputs=[path],
        companions=companions_of(checkpoint),
        texts={"config.json": result.config},
    )
    console.document({"checkpoint": str(path), **recipe, "output": str(output), "notes": console.notes})
    for name, first in result.copies.items():
        console.line(f"{name}: a copy of {first}")
    console.line(f"outputs before and after differ by {result.preservation_error:.1e} of their size")
    console.line(f"{counted(len(result.tensors), 'tensor')} written to {output}")


def _check_new_folder(output: Path) -> None:
    """Refuse a file, which has no place for a configuration, and a folder that holds something.

    Raises:
        OutputError: Naming the output and what to do.
    """
    from weightspace.checkpoint.guard import is_single_file
    from weightspace.errors import OutputError

    if is_single_file(output):
        raise OutputError(
            f"{output}: expected a folder, in which config.json lies beside the weights, found the name of a file; "
            f"name {output.with_suffix('')}"
        )
    if output.is_dir() and any(output.iterdir()):
        raise OutputError(f"{output}: expected a new folder, found one with files in it; name another, or remove it")


def _shard_bytes(checkpoint: Checkpoint) -> int | None:
    """Shards as large as those that were read; None for a single file."""
    if len(checkpoint.files) == 1:
        return None
    return max(file.stat().st_size for file in checkpoint.files)
