"""`wsp merge` and `wsp check` by methods that work on weights alone: streamed from file to file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wsp.aligned_models import aligned_models
from wsp.console import Console, counted
from wsp.recipes import SUFFIXES

if TYPE_CHECKING:
    from weightspace.merge.recipe import Recipe
    from weightspace.merge.streaming import Prepared

_GIB = 2**30


def prepared(
    recipe: Recipe, models: Sequence[Path], output: Path | None, console: Console, *, aligns: bool = False
) -> Prepared:
    """Checks everything that headers tell; paths in a recipe may be relative to it.

    Args:
        recipe: The recipe.
        models: What was given on the command line.
        output: Where the merged model goes; None where nothing is to be written.
        console: For alignments.
        aligns: Whether to align the models if the recipe says so, once all else is checked.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    from weightspace.merge.streaming import locate, prepare

    folder = models[0].parent if models[0].suffix in SUFFIXES else None
    found = prepare(recipe, output, folder=folder)
    if not aligns or not recipe.aligns:
        return found
    return prepare(recipe, output, folder=folder, aligned=aligned_models(recipe, locate(recipe, folder), console))


def show_plan(console: Console, found: Prepared) -> None:
    """What would be done: the document and the table of a dry run."""
    plan, layout = found.plan, found.layout
    copied = sum(task.settings is None for task in plan.tasks)
    console.document(
        {
            "method": plan.method.name, "models": list(found.models), "base": found.recipe.base_model,
            "tensors": len(plan.tasks), "copied": copied, "files": dict(layout.sizes), "bytes": layout.nbytes,
            "memory": found.memory, "notes": [*plan.notes, *console.notes],
        }
    )  # fmt: skip
    rows = [(name, f"{size / _GIB:.3f}") for name, size in layout.sizes.items()]
    console.table(("file", "#GiB"), rows, title="files to write")
    console.line(f"{plan.method.title} of {counted(len(found.models), 'model')}: {', '.join(found.models)}")
    console.line(f"{counted(len(plan.tasks), 'tensor')}, {copied} of them copied; {layout.nbytes / _GIB:.3f} GiB")
    console.line(f"chunks take up to {found.memory / _GIB:.3f} GiB of memory, beside Python and torch")


def merge_streamed(console: Console, found: Prepared) -> None:
    """Computes, writes, and says what was done."""
    from weightspace.merge.streaming import merge_files

    for note in found.plan.notes:
        console.warn(note)
    with console.progress("merging") as step:
        written = merge_files(found, progress=step)
    plan = found.plan
    console.document(
        {
            "method": plan.method.name, "models": list(found.models), "inputs": dict(written.inputs),
            "tensors": len(plan.tasks), "bytes": found.layout.nbytes, "resumed": written.resumed,
            "output": str(found.output), "files": [str(path) for path in written.files], "notes": console.notes,
        }
    )  # fmt: skip
    if written.resumed:
        console.line(f"{counted(written.resumed, 'tensor')} had been computed before")
    size = f"{counted(len(plan.tasks), 'tensor')}, {found.layout.nbytes / _GIB:.3f} GiB"
    console.line(f"merged by {plan.method.title}: {', '.join(found.models)}; {size}")
    console.line(f"written to {found.output}")
