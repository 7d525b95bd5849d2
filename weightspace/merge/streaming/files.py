"""From a recipe to a merged checkpoint on the disk: opened, planned, computed, written, resumed where it was left."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import weightspace
from weightspace.checkpoint import Checkpoint, Provenance, check_output, companions_of, open_checkpoint
from weightspace.checkpoint.guard import CARD, FOLDER_PROVENANCE, RECIPE, is_single_file, sidecar_of
from weightspace.checkpoint.layout import Layout, lay_out
from weightspace.checkpoint.unfinished import unfinished
from weightspace.merge.methods.whole import CHUNK
from weightspace.merge.recipe.placed import Place, place_of
from weightspace.merge.recipe.read import recipe_text
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.card import model_card
from weightspace.merge.streaming.config import merged_config
from weightspace.merge.streaming.execute import execute, threads
from weightspace.merge.streaming.fused import FusedModel, fused_model
from weightspace.merge.streaming.layers import layers_of
from weightspace.merge.streaming.plan import Model, Plan, plan_merge

SHARD = 5_000_000_000  # bytes of tensors in a file


@dataclass(frozen=True)
class Prepared:
    """A merge of which everything is checked, before any tensor is read.

    Attributes:
        recipe: The recipe.
        output: Where the merged checkpoint goes.
        models: Every model that it names, the base first.
        fused: Those of them that are read with an adapter in them.
        aligned: Those of them that are read in other coordinates.
        plan: What is to be computed.
        layout: What is to be written.
        key: What the result depends on, as hexadecimal digits.
    """

    recipe: Recipe
    output: Path
    models: Mapping[str, Checkpoint]
    fused: Mapping[str, FusedModel]
    aligned: Mapping[str, Model]
    plan: Plan
    layout: Layout
    key: str

    @property
    def first(self) -> Checkpoint:
        """The base, or the first model."""
        return next(iter(self.models.values()))

    @property
    def read(self) -> dict[str, Model]:
        """What tensors are read from, by the name of the model."""
        return {**self.models, **{name: each.model for name, each in self.fused.items()}, **self.aligned}

    @property
    def paths(self) -> list[Path]:
        """All that is read."""
        return [*(model.path for model in self.models.values()), *(each.adapter.path for each in self.fused.values())]

    @property
    def memory(self) -> int:
        """Bytes that chunks take at most, and tensors that are made whole, beside what Python and torch take."""
        widest = max(len(task.sources) + (task.base is not None) for task in self.plan.tasks)
        largest = max(math.prod(task.info.shape) for task in self.plan.tasks)
        made = len(self.fused) + len(self.aligned)
        return threads() * 4 * (CHUNK * (3 * widest + 6) + largest * (made + 3 * bool(made)))


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
    """Opens the models of a recipe and plans the merge; reads headers alone.

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
    """
    path = Path("merged" if output is None else output)
    places = locate(recipe, folder)
    if output is not None:
        check_output(path, [each for place in places.values() for each in place.paths])
    models = {name: open_checkpoint(place.path) for name, place in places.items()}
    fused = {
        name: fused_model(models[name], place.adapter) for name, place in places.items() if place.adapter is not None
    }
    plan = plan_merge(recipe, {**models, **{name: each.model for name, each in fused.items()}, **(aligned or {})})
    plan = replace(plan, notes=(*plan.notes, *dict.fromkeys(note for each in fused.values() for note in each.notes)))
    layout = lay_out(
        plan.infos, plan.aliases, single=path.name if is_single_file(path) else "model.safetensors",
        max_shard_bytes=None if is_single_file(path) else max_shard_bytes,
    )  # fmt: skip
    key = _key(recipe, models, fused, layout)
    return Prepared(recipe, path, models, fused, aligned or {}, plan, layout, key)


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
    texts, companions = _beside(prepared)
    with (
        ThreadPoolExecutor(1) as hashing,
        unfinished(output, prepared.layout, prepared.key, prepared.paths) as unready,
    ):
        hashes = {name: hashing.submit(model.sha256) for name, model in models.items()}
        try:
            execute(prepared.plan, prepared.read, unready, progress=progress)
        except BaseException:
            hashing.shutdown(wait=False, cancel_futures=True)
            raise
        inputs = {name: future.result() for name, future in hashes.items()}
        for each in prepared.fused.values():
            inputs.update(each.hashes())
        provenance = Provenance(command, _as_json(prepared.recipe), inputs, seed=prepared.recipe.seed)
        name = sidecar_of(output).name if is_single_file(output) else FOLDER_PROVENANCE
        files = unready.complete({**texts, name: provenance.to_json(indent=2) + "\n"}, companions)
        return Written(tuple(files), len(unready.done), inputs)


def locate(recipe: Recipe, folder: Path | None = None) -> dict[str, Place]:
    """Where each model of a recipe lies, the base first.

    Args:
        recipe: The recipe.
        folder: Where models are looked for beside the working directory.
    """
    return {name: place_of(name, folder) for name in recipe.referenced}


def _key(recipe: Recipe, models: Mapping[str, Checkpoint], fused: Mapping[str, FusedModel], layout: Layout) -> str:
    """What the result depends on: the recipe, the files as they are now, and this version."""
    files = [
        (name, str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns)
        for name, model in models.items()
        for file in (*model.files, *(fused[name].files if name in fused else ()))
    ]
    text = json.dumps([_as_json(recipe), files, sorted(layout.sizes.items()), weightspace.__version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _beside(prepared: Prepared) -> tuple[dict[str, str], list[Path]]:
    """The small files of a folder: those that are written, and those that are copied from the base."""
    if is_single_file(prepared.output):
        return {}, []
    recipe, plan, config = prepared.recipe, prepared.plan, prepared.first.config_path
    text = recipe_text(recipe)
    texts = {CARD: model_card(prepared.output.name, recipe, plan.method, text), RECIPE: text}
    dtype = recipe.out_dtype or recipe.dtype
    if config is not None and (plan.layers or dtype is not None):
        counts = {layers.prefix: layers.count for layers in layers_of(prepared.first)}
        texts[config.name] = merged_config(config, {counts[name]: taken for name, taken in plan.layers.items()}, dtype)
    return texts, [path for path in companions_of(prepared.first) if path.name not in texts]


def _as_json(recipe: Recipe) -> dict[str, object]:
    return json.loads(recipe.model_dump_json(exclude_none=True))
