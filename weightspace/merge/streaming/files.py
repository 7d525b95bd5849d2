"""From a recipe to a merged checkpoint on the disk: opened, planned, computed, written, resumed where it was left."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import weightspace
from weightspace.checkpoint import Checkpoint, Provenance, check_output, open_checkpoint
from weightspace.checkpoint.guard import FOLDER_PROVENANCE, is_single_file, sidecar_of
from weightspace.checkpoint.layout import Layout, lay_out
from weightspace.checkpoint.leftover import leftovers
from weightspace.checkpoint.unfinished import unfinished
from weightspace.errors import CheckpointError, MergeError
from weightspace.merge.recipe.placed import Place, place_of
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.beside import beside
from weightspace.merge.streaming.checked import check_recipe
from weightspace.merge.streaming.execute import execute, threads
from weightspace.merge.streaming.fused import FusedModel, fused_model
from weightspace.merge.streaming.memory import peak_memory
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
        fused: Those of them that are read with an adapter in them.
        read: What tensors are read from, by the name of the model: aligned, and with the merged vocabulary.
        plan: What is to be computed.
        layout: What is to be written.
        state: Files of the models as they were opened: model, file, bytes, time of the last change.
        vocabulary: The vocabulary, where the recipe says one.
        texts: Small files of a folder that the merge writes: by name what they say.
        companions: Those that it copies.
        notes: What the user ought to know, one line each.
    """

    recipe: Recipe
    output: Path
    models: Mapping[str, Checkpoint]
    fused: Mapping[str, FusedModel]
    read: Mapping[str, Model]
    plan: Plan
    layout: Layout
    state: tuple[tuple[str, Path, int, int], ...]
    vocabulary: MergedVocabulary | None
    texts: Mapping[str, str]
    companions: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """What the result depends on, as hexadecimal digits: the recipe, the files, and this version."""
        return _key(self.recipe, self.state, self.layout, self.vocabulary)

    @property
    def memory(self) -> int:
        """Bytes that the work takes at most, beside what Python and torch take."""
        return peak_memory(self.plan, self.read, threads())

    @property
    def paths(self) -> list[Path]:
        """All that is read."""
        return [*(model.path for model in self.models.values()), *(each.adapter.path for each in self.fused.values())]


@dataclass(frozen=True)
class Written:
    """A merged checkpoint.

    Attributes:
        files: Its files, weights first.
        resumed: Number of tensors that an earlier run had computed.
        inputs: SHA-256 of each model, by its path as given, and of adapters in them.
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
        MergeError: The recipe is wrong, which is found before any model is opened, or does not fit the models.
        OutputError: The output cannot be written.
        SourceError: The recipe needs tokenizers, and the package for them is not installed.
    """
    path = Path("merged" if output is None else output)
    check_recipe(recipe)
    places = locate(recipe, folder)
    if recipe.data is not None and not Path(recipe.data.path).exists():
        raise MergeError(f"data: expected examples in {recipe.data.path}, found no such file or folder; check the path")
    if output is not None:
        check_output(path, [each for place in places.values() for each in place.paths])
    models = {name: open_checkpoint(place.path) for name, place in places.items()}
    fused = {
        name: fused_model(models[name], place.adapter) for name, place in places.items() if place.adapter is not None
    }
    read: dict[str, Model] = {**models, **{name: each.model for name, each in fused.items()}, **(aligned or {})}
    vocabulary = merged_vocabulary(recipe, models, read, folder)
    if vocabulary is not None:
        read = {**shared(read, vocabulary.rows, vocabulary.embeddings)}
    plan = plan_merge(recipe, read)
    layout = lay_out(
        plan.infos, plan.aliases, single=path.name if is_single_file(path) else "model.safetensors",
        max_shard_bytes=None if is_single_file(path) else max_shard_bytes,
    )  # fmt: skip
    texts, companions, said = beside(recipe, path, models, plan, vocabulary)
    state = _state(models, fused)
    notes = [f"{model.path}: {note}" for model in models.values() for note in model.notes] + [*plan.notes, *said]
    notes += dict.fromkeys(note for each in fused.values() for note in each.notes)
    if output is not None:
        notes += [
            f"{left.folder}: an unfinished merge by another recipe or of other inputs, {left.nbytes:,} bytes; "
            "remove the folder if nobody goes on with it"
            for left in leftovers(path, _key(recipe, state, layout, vocabulary))
        ]
    return Prepared(recipe, path, models, fused, read, plan, layout, state, vocabulary, texts, companions, tuple(notes))


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
        CheckpointError: A file was written to while it was read.
        OutputError: The disk refuses.
    """
    models, output = prepared.models, prepared.output
    with unfinished(output, prepared.layout, prepared.key, prepared.paths) as unready:
        hashes = _hashed(models)
        execute(prepared.plan, prepared.read, unready, progress=progress)
        inputs = hashes.result()
        for each in prepared.fused.values():
            inputs.update(each.hashes())
        _check_unchanged(prepared)
        provenance = Provenance(command, _as_json(prepared.recipe), inputs, seed=prepared.recipe.seed)
        name = sidecar_of(output).name if is_single_file(output) else FOLDER_PROVENANCE
        files = unready.complete({**prepared.texts, name: provenance.to_json(indent=2) + "\n"}, prepared.companions)
        return Written(tuple(files), len(unready.done), inputs)


def _hashed(models: Mapping[str, Checkpoint]) -> Future[dict[str, str]]:
    """SHA-256 of every model, by a thread that nobody waits for when the merge breaks off."""
    found: Future[dict[str, str]] = Future()

    def hashing() -> None:
        try:
            found.set_result({name: model.sha256() for name, model in models.items()})
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=hashing, daemon=True).start()
    return found


def _check_unchanged(prepared: Prepared) -> None:
    """Refuses files that were written to while they were read.

    Raises:
        CheckpointError: Naming the model.
    """
    for before, now in zip(prepared.state, _state(prepared.models, prepared.fused), strict=True):
        if before != now:
            name, file, *_ = before
            raise CheckpointError(
                f"{name}: expected it unchanged during the merge, found {file} written to; nothing was written: "
                "merge again when it is whole"
            )


def locate(recipe: Recipe, folder: Path | None = None) -> dict[str, Place]:
    """Where each model of a recipe lies, the base first.

    Args:
        recipe: The recipe.
        folder: Where models are looked for beside the working directory.
    """
    return {name: place_of(name, folder) for name in recipe.referenced}


def _state(models: Mapping[str, Checkpoint], fused: Mapping[str, FusedModel]) -> tuple[tuple[str, Path, int, int], ...]:
    found = []
    for name, model in models.items():
        for file in (*model.files, *(fused[name].files if name in fused else ())):
            known = file.stat()
            found.append((name, file.resolve(), known.st_size, known.st_mtime_ns))
    return tuple(found)


def _key(
    recipe: Recipe,
    state: tuple[tuple[str, Path, int, int], ...],
    layout: Layout,
    vocabulary: MergedVocabulary | None,
) -> str:
    files = [(name, str(file), *known) for name, file, *known in state]
    tokens = None if vocabulary is None else vocabulary.key
    text = json.dumps([_as_json(recipe), files, sorted(layout.sizes.items()), tokens, weightspace.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(recipe: Recipe) -> dict[str, object]:
    return json.loads(recipe.model_dump_json(exclude_none=True))
