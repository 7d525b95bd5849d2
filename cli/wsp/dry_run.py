"""`--dry-run`: what a command would write, and where, once everything is opened and checked that is before its work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsp.console import Console, counted

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint, TensorInfo

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Open and check everything, say what would be written, and write nothing.")
]


def tell(
    console: Console,
    output: Path,
    infos: Iterable[TensorInfo],
    *,
    at_most: bool = False,
    beside: Sequence[Path | None] = (),
) -> None:
    """The document and the lines of a dry run.

    Args:
        console: Where to write.
        output: Where the weights would go.
        infos: Shapes and types of the tensors that would be stored.
        at_most: Whether the work decides how many of them, or how large.
        beside: Further files that would be written, where they were asked for.
    """
    listed = list(infos)
    size = sum(info.nbytes for info in listed)
    others = [path for path in beside if path is not None]
    console.document({
        "dry_run": True, "output": str(output), "tensors": len(listed), "bytes": size, "at_most": at_most,
        "beside": [str(path) for path in others], "notes": console.notes,
    })  # fmt: skip
    bound = "at most " if at_most else ""
    console.line(f"would write {bound}{counted(len(listed), 'tensor')} of {size:,} bytes to {output}")
    for path in others:
        console.line(f"would write {path}")
    console.line("nothing was written")


def stored(checkpoint: Checkpoint, brought: Mapping[str, TensorInfo] | None = None) -> list[TensorInfo]:
    """What storing tensors like those of a checkpoint takes, tied ones once.

    Args:
        checkpoint: The checkpoint.
        brought: Tensors that are others, or more.
    """
    tied = checkpoint.aliases()
    found = {name: checkpoint.info(name) for name in checkpoint if name not in tied}
    return [*{**found, **(brought or {})}.values()]
