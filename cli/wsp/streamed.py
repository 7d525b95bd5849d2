"""`wsp merge` and `wsp check` by methods that work on weights alone: streamed from file to file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsp.aligned_models import aligned_models
from wsp.console import Console, counted
from wsp.heap import give_back_when_freed
from wsp.recipes import SUFFIXES

if TYPE_CHECKING:
    from weightspace.merge.recipe import Recipe
    from weightspace.merge.streaming import Prepared

_GIB = 2**30


def prepared(
    recipe: Recipe,
    models: Sequence[Path],
    output: Path | None,
    console: Console,
    *,
    aligns: bool = False,
    shard_size: float | None = None,
) -> Prepared:
    """Checks everything that headers tell; paths in a recipe may be relative to it.

    Args:
        recipe: The recipe.
        models: What was given on the command line.
        output: Where the merged model goes; None where nothing is to be written.
        console: For alignments.
        aligns: Whether to align the models if the recipe says so, once all else is checked.
        shard_size: GB of tensors in a file of a folder; None for the default.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    from weightspace.merge.streaming import SHARD, locate, prepare

    folder = models[0].parent if models[0].suffix in SUFFIXES else None
    most = SHARD if shard_size is None else int(shard_size * 1e9)
    found = prepare(recipe, output, folder=folder, max_shard_bytes=most)
    if not aligns or not recipe.aligns:
        return found
    aligned = aligned_models(recipe, locate(recipe, folder), console)
    return prepare(recipe, output, folder=folder, aligned=aligned, max_shard_bytes=most)


def show_plan(console: Console, found: Prepared) -> None:
    """What would be done: the document and the table of a dry run."""
    plan, layout = found.plan, found.layout
    for note in found.notes:
        console.note(note)
    copied = sum(task.settings is None for task in plan.tasks)
    console.document(
        {
            "method": plan.method.name, "models": list(found.models), "base": found.recipe.base_model,
            "tensors": len(plan.tasks), "copied": copied, "files": dict(layout.sizes), "bytes": layout.nbytes,
            "memory": found.memory, **_vocabulary(found), "notes": console.notes,
        }
    )  # fmt: skip
    rows = [(name, f"{size / _GIB:.3f}") for name, size in layout.sizes.items()]
    console.table(("file", "#GiB"), rows, title="files to write")
    _show_vocabulary(console, found)
    console.line(f"{plan.method.title} of {counted(len(found.models), 'model')}: {', '.join(found.models)}")
    console.line(f"{counted(len(plan.tasks), 'tensor')}, {copied} of them copied; {layout.nbytes / _GIB:.3f} GiB")
    console.line(f"the work takes up to {found.memory / _GIB:.3f} GiB of memory, beside Python and torch")


def merge_streamed(console: Console, found: Prepared) -> None:
    """Computes, writes, and says what was done."""
    from weightspace.merge.streaming import merge_files

    give_back_when_freed()
    for note in found.notes:
        console.note(note)
    with console.progress("merging") as step:
        written = merge_files(found, progress=step)
    plan = found.plan
    console.document(
        {
            "method": plan.method.name, "models": list(found.models), "inputs": dict(written.inputs),
            "tensors": len(plan.tasks), "bytes": found.layout.nbytes, "resumed": written.resumed,
            "output": str(found.output), "files": [str(path) for path in written.files], **_vocabulary(found),
            "notes": console.notes,
        }
    )  # fmt: skip
    _show_vocabulary(console, found)
    if written.resumed:
        console.line(f"{counted(written.resumed, 'tensor')} had been computed before")
    size = f"{counted(len(plan.tasks), 'tensor')}, {found.layout.nbytes / _GIB:.3f} GiB"
    console.line(f"merged by {plan.method.title}: {', '.join(found.models)}; {size}")
    console.line(f"written to {found.output}")


def _vocabulary(found: Prepared) -> dict[str, Any]:
    """What became of vocabularies, for a document."""
    from weightspace.merge.streaming.vocabulary import vocabulary_report

    return {} if found.vocabulary is None else {"vocabulary": vocabulary_report(found.vocabulary)}


def _show_vocabulary(console: Console, found: Prepared) -> None:
    from weightspace.merge.streaming.vocabulary import COLUMNS, vocabulary_line, vocabulary_table

    for report in _vocabulary(found).values():
        console.table(COLUMNS, vocabulary_table(report), title="tokens of the models, and where their rows come from")
        console.line(vocabulary_line(report))
