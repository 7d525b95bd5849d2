"""`wsp merge` and `wsp check` by methods that work on weights alone: streamed from file to file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from weightspace.errors import MergeError
from wsp import options
from wsp.aligned_models import aligned_models
from wsp.console import Console, counted
from wsp.heap import give_back_when_freed

if TYPE_CHECKING:
    from weightspace.merge.recipe import Recipe
    from weightspace.merge.streaming import Prepared

_SUFFIXES = (".yml", ".yaml")
_GIB = 2**30


def given_recipe(models: Sequence[Path]) -> Recipe | None:
    """The recipe, where that is what was given in place of models.

    Raises:
        MergeError: It cannot be read, or is wrong.
    """
    if not any(path.suffix in _SUFFIXES for path in models):
        return None
    from weightspace.merge.recipe import read_recipe

    if len(models) != 1:
        raise MergeError(f"{models[0]}: expected a recipe or models, found both; list the models in the recipe")
    return read_recipe(models[0])


def check_tokenizer(tokenizer: str | None, recipe: Recipe | None, of_networks: str | None = None) -> None:
    """Refuses `--tokenizer` where it would have no effect.

    Args:
        tokenizer: What it says.
        recipe: The recipe, if one was given.
        of_networks: The method, if it is none that is streamed.

    Raises:
        MergeError: There is a recipe, or the method is not streamed.
    """
    if tokenizer is not None and recipe is not None:
        raise MergeError(f"--tokenizer {tokenizer}: expected models, found a recipe; set tokenizer_source in it")
    if tokenizer is not None and of_networks is not None:
        raise MergeError(
            f"--tokenizer {tokenizer}: expected a method that is streamed (see wsp methods), found --method "
            f"{of_networks}"
        )


def recipe_of_flags(
    models: Sequence[Path],
    method: str,
    *,
    base: Path | None,
    settings: Sequence[str],
    dtype: str | None,
    seed: int,
    tokenizer: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Recipe:
    """What the command line says, as a recipe.

    Args:
        models: The models.
        method: How they are merged.
        base: What task vectors start from.
        settings: Options of the method: NAME=VALUE, or NAME=VALUE,VALUE with one for every model.
        dtype: Type of the merged weights.
        seed: Seed of everything random.
        tokenizer: Vocabulary of the merged model.
        more: Further fields of the recipe.

    Raises:
        MergeError: An option or the type is wrong.
    """
    from weightspace.merge.methods import known_merge_method
    from weightspace.merge.recipe import recipe_of

    found = known_merge_method(method)
    if base is None and found.base == "required" and found.models == (1, 1):
        base = models[0]  # between two models the first is where the path begins
    listed: list[dict[str, Any]] = [{"model": str(model)} for model in models]
    parameters: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        values = [_value(setting, each) for each in text.split(",")]
        if len(values) == 1:
            parameters[name] = values[0]
            continue
        others = [each for each in listed if base is None or each["model"] != str(base)]
        if len(values) != len(others):
            raise MergeError(f"--set {setting}: expected one value for each of {len(others)} models, not {len(values)}")
        for each, value in zip(others, values, strict=True):
            each.setdefault("parameters", {})[name] = value
    content = {"merge_method": method, "models": listed, "seed": seed, **(more or {})}
    content |= {"parameters": parameters} if parameters else {}
    content |= {} if base is None else {"base_model": str(base)}
    content |= {} if dtype is None else {"dtype": dtype}
    content |= {} if tokenizer is None else {"tokenizer_source": tokenizer}
    return recipe_of(content, "the command line")


def fields_of_flags(
    align: str | None,
    kinds: str,
    restarts: int,
    samples: int,
    data: Path | None,
    mean: str | None,
    std: str | None,
    arch: str | None,
) -> dict[str, Any]:
    """What the flags of an alignment say, as fields of a recipe; see `wsp.options`."""
    found: dict[str, Any] = {} if arch is None else {"arch": arch}
    if align not in (None, "none"):
        named = {"method": align, "kinds": list(options.names("--kinds", kinds)), "restarts": restarts}
        found["align"] = {**named, "samples": samples}
    if data is not None:
        numbers = {"mean": options.floats("--mean", mean), "std": options.floats("--std", std)}
        given = {name: list(values) for name, values in numbers.items() if values is not None}
        found["data"] = {"path": str(data), **given}
    return found


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

    folder = models[0].parent if models[0].suffix in _SUFFIXES else None
    most = SHARD if shard_size is None else int(shard_size * 1e9)
    found = prepare(recipe, output, folder=folder, max_shard_bytes=most)
    if not aligns or recipe.align is None:
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
    for note in found.notes:
        console.warn(note)
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
        console.warn(note)
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


def _value(setting: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected NAME=VALUE with numbers, true or false, found {setting!r}", param_hint="--set"
        ) from None
