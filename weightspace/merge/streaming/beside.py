"""The small files beside merged weights: configuration, tokenizer, chat template, model card and recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from weightspace.checkpoint import Checkpoint, companions_of
from weightspace.checkpoint.guard import CARD, RECIPE, is_single_file
from weightspace.errors import MergeError
from weightspace.merge.recipe.read import recipe_text
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.card import model_card
from weightspace.merge.streaming.config import merged_config
from weightspace.merge.streaming.layers import layers_of
from weightspace.merge.streaming.plan import Plan
from weightspace.merge.streaming.vocabulary import MergedVocabulary, chat_template, unlike_tokens
from weightspace.merge.streaming.vocabulary.chat import with_template
from weightspace.merge.streaming.vocabulary.read import SETTINGS
from weightspace.merge.streaming.vocabulary.texts import (
    TOKENIZER_FILES,
    lost_numbers,
    renumbered_texts,
    tokenizer_files,
)

_Beside = tuple[dict[str, str], tuple[Path, ...], tuple[str, ...]]


def beside(
    recipe: Recipe,
    output: Path,
    models: Mapping[str, Checkpoint],
    plan: Plan,
    vocabulary: MergedVocabulary | None,
) -> _Beside:
    """What lies beside the weights.

    Args:
        recipe: The recipe.
        output: Where the merged checkpoint goes; a single file has nothing of this beside it.
        models: Every model of the recipe, the base first.
        plan: What is to be computed.
        vocabulary: The vocabulary, where the recipe says one.

    Returns:
        Files that are written, by name; files that are copied; and notes for the user.

    Raises:
        MergeError: A single file cannot hold a tokenizer; the configuration or the chat template is wrong.
    """
    folders = {name: model.config_path.parent for name, model in models.items() if model.config_path is not None}
    if is_single_file(output):
        if vocabulary is not None or recipe.chat_template is not None:
            raise MergeError(f"{output}: expected a folder, to write the tokenizer to, found a file; name a folder")
        return {}, (), unlike_tokens(folders)
    first, text = next(iter(models.values())), recipe_text(recipe)
    copied, notes = companions_of(first), unlike_tokens(folders) if vocabulary is None else vocabulary.notes
    texts: dict[str, str] = {}
    config, dtype = first.config_path, recipe.out_dtype or recipe.dtype
    if config is not None and (plan.layers or dtype is not None or vocabulary is not None):
        counts = {layers.prefix: layers.count for layers in layers_of(first)}
        layers = {counts[name]: taken for name, taken in plan.layers.items()}
        texts[config.name] = merged_config(config, layers, dtype, vocabulary)
    if config is not None and vocabulary is not None:
        written, kept = tokenizer_files(vocabulary.tokenizer)
        texts |= written | renumbered_texts(config.parent, vocabulary)
        copied = [path for path in copied if path.name not in TOKENIZER_FILES] + kept
        notes += lost_numbers(config.parent, vocabulary)
    if recipe.chat_template is not None:
        texts |= _template(recipe.chat_template, folders.values(), texts, copied)
    texts = {CARD: model_card(output.name, recipe, plan.method, text, vocabulary), RECIPE: text} | texts
    return texts, tuple(path for path in copied if path.name not in texts), notes


def _template(wanted: str, folders: Iterable[Path], texts: Mapping[str, str], copied: Iterable[Path]) -> dict[str, str]:
    """The files of the chat template."""
    template = chat_template(wanted, folders)
    if template is None:
        return {}
    source = next((path for path in copied if path.name == SETTINGS), None)
    read = None if source is None else source.read_text(encoding="utf-8")
    return with_template(template, texts.get(SETTINGS, read))
