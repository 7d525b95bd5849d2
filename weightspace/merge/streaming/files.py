"""From a recipe to a merged checkpoint on the disk: opened, planned, computed, written, resumed where it was left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import weightspace
from weightspace.checkpoint import Checkpoint, Provenance, check_output, open_checkpoint
from weightspace.checkpoint.guard import FOLDER_PROVENANCE, is_single_file, sidecar_of
from weightspace.checkpoint.layout import Layout, lay_out
from weightspace.checkpoint.unfinished import unfinished
from weightspace.merge.methods.whole import CHUNK
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.beside import beside
from weightspace.merge.streaming.execute import execute, threads
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.plan import Plan, plan_merge
from weightspace.merge.streaming.vocabulary import MergedVocabulary, merged_vocabulary, shared

SHARD = 5_000_000_000  # bytes of tensors in a file


@dataclass(frozen=True)
class Prepared:
    """A merge of which everything is checked, before any tensor is read.

    Attributes:
        recipe: The recipe.
        output: Where the merged checkpoint goes.
        models: Every model that it names, the base first.
        read: What tensors are read from, by the name of the model: aligned, and with the merged vocabulary.
        plan: What is to be computed.
        layout: What is to be written.
        key: What the result depends on, as hexadecimal digits.
        vocabulary: The vocabulary, where the recipe says one.
        texts: Small files of a folder that the merge writes: by name what they say.
        companions: Those that it copies.
        notes: What the user ought to know, one line each.
    """

    recipe: Recipe
    output: Path
    models: Mapping[str, Checkpoint]
    read: Mapping[str, Model]
    plan: Plan
    layout: Layout
    key: str
    vocabulary: MergedVocabulary | None
    texts: Mapping[str, str]
    companions: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def memory(self) -> int:
        """Bytes that chunks take at most, beside what Python and torch take."""
        widest = max(len(task.sources) + (task.base is not None) for task in self.plan.tasks)
        return threads() * CHUNK * 4 * (3 * widest + 6)


@dataclass(frozen=True)
class Written:
    """A merged checkpoint.

    Attributes:
        files: Its files, weights first.
        resumed: Number of tensors that an earlier run had computed.
        inputs: SHA-256 of each model, by its path as given.
    """

    files: tuple[Path, ...]
    resumed: int
    inputs: Mapping[str, str]


def prepare(
    recipe: Recipe,
    output: str | PathLike[str] | None,
    *,
    folder: Path | None = None,
    aligned: Mapping[str, Model] | None = None,
    max_shard_bytes: int = SHARD,
) -> Prepared:
    """Opens the models of a recipe and plans the merge; reads headers, configurations and tokenizers alone.

    Args:
        recipe: The recipe.
        output: A `.safetensors` file, or a folder; None where nothing is to be written.
        folder: Where models are looked for beside the working directory: that of the recipe.
        aligned: Models in the coordinates of the reference, where the recipe asks for that, by their names.
        max_shard_bytes: Bytes of tensors in one file of a folder.

    Raises:
        CheckpointError: A model cannot be opened.
        MergeError: The recipe does not fit the models.
        OutputError: The output cannot be written.
        SourceError: The recipe needs tokenizers, and the package for them is not installed.
    """
    path = Path("merged" if output is None else output)
    located = locate(recipe, folder)
    if output is not None:
        check_output(path, [*located.values()])
    models = {name: open_checkpoint(place) for name, place in located.items()}
    read: dict[str, Model] = {**models, **(aligned or {})}
    vocabulary = merged_vocabulary(recipe, models, read, folder)
    if vocabulary is not None:
        read = {**shared(read, vocabulary.rows, vocabulary.embeddings)}
    plan = plan_merge(recipe, read)
    layout = lay_out(
        plan.infos, plan.aliases, single=path.name if is_single_file(path) else "model.safetensors",
        max_shard_bytes=None if is_single_file(path) else max_shard_bytes,
    )  # fmt: skip
    texts, companions, notes = beside(recipe, path, models, plan, vocabulary)
    key = _key(recipe, models, layout, vocabulary)
    return Prepared(recipe, path, models, read, plan, layout, key, vocabulary, texts, companions, plan.notes + notes)


def merge_files(
    prepared: Prepared, *, command: str = "wsp merge", progress: Callable[[float, float, str], None] | None = None
) -> Written:
    """Computes and writes a merged checkpoint; what an earlier run left unfinished is gone on with.

    Args:
        prepared: What to do.
        command: For the provenance.
        progress: Called with (bytes done, bytes in all, name of the tensor).

    Raises:
        MergeError: A result is not finite.
        OutputError: The disk refuses.
    """
    models, output = prepared.models, prepared.output
    with (
        ThreadPoolExecutor(1) as hashing,
        unfinished(output, prepared.layout, prepared.key, [model.path for model in models.values()]) as unready,
    ):
        hashes = {name: hashing.submit(model.sha256) for name, model in models.items()}
        try:
            execute(prepared.plan, prepared.read, unready, progress=progress)
        except BaseException:
            hashing.shutdown(wait=False, cancel_futures=True)
            raise
        inputs = {name: future.result() for name, future in hashes.items()}
        provenance = Provenance(command, _as_json(prepared.recipe), inputs, seed=prepared.recipe.seed)
        name = sidecar_of(output).name if is_single_file(output) else FOLDER_PROVENANCE
        files = unready.complete({**prepared.texts, name: provenance.to_json(indent=2) + "\n"}, prepared.companions)
        return Written(tuple(files), len(unready.done), inputs)


def locate(recipe: Recipe, folder: Path | None = None) -> dict[str, Path]:
    """Where each model of a recipe lies, the base first.

    Args:
        recipe: The recipe.
        folder: Where models are looked for beside the working directory.
    """
    return {name: _located(name, folder) for name in recipe.referenced}


def _located(name: str, folder: Path | None) -> Path:
    """Where a model lies: as written from the working directory, else from the folder of the recipe."""
    path = Path(name)
    if not path.exists() and folder is not None and (folder / name).exists():
        return folder / name
    return path


def _key(recipe: Recipe, models: Mapping[str, Checkpoint], layout: Layout, vocabulary: MergedVocabulary | None) -> str:
    """What the result depends on: the recipe, the files as they are now, and this version."""
    files = [
        (name, str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns)
        for name, model in models.items()
        for file in model.files
    ]
    tokens = None if vocabulary is None else vocabulary.key
    text = json.dumps([_as_json(recipe), files, sorted(layout.sizes.items()), tokens, weightspace.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(recipe: Recipe) -> dict[str, object]:
    return json.loads(recipe.model_dump_json(exclude_none=True))
