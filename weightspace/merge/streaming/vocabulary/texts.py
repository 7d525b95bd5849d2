"""The small files of a merged model that depend on its vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weightspace.merge.streaming.vocabulary.merged import MergedVocabulary
from weightspace.merge.streaming.vocabulary.read import (
    ADDED,
    LISTS,
    SENTENCEPIECE,
    SETTINGS,
    SPECIAL,
    TOKENIZER,
    Vocabulary,
    named_tokens,
)

TEMPLATE = "chat_template.jinja"
GENERATION = "generation_config.json"
TOKENIZER_FILES = frozenset((TOKENIZER, SETTINGS, SPECIAL, ADDED, *LISTS, *SENTENCEPIECE, "merges.txt", TEMPLATE))
_NUMBERS = ("_token_id", "_token_ids", "suppress_tokens")


def tokenizer_files(vocabulary: Vocabulary) -> tuple[dict[str, str], list[Path]]:
    """The files of a tokenizer: texts by name, and files to copy as they are.

    One that is as it was read keeps all of its files. Another is `tokenizer.json` with the settings beside it; files
    that say the same in other formats go, as they would say something else.
    """
    folder = vocabulary.folder
    if vocabulary.unchanged:
        return {}, [folder / name for name in sorted(TOKENIZER_FILES) if (folder / name).is_file()]
    texts = {TOKENIZER: json.dumps(vocabulary.content, indent=2, ensure_ascii=False) + "\n"}
    for name in (SETTINGS, SPECIAL):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            texts[name] = json.dumps(_settings(settings, vocabulary), indent=2, ensure_ascii=False) + "\n"
    return texts, [folder / TEMPLATE] if (folder / TEMPLATE).is_file() else []


def renumber(settings: dict[str, Any], vocabulary: MergedVocabulary) -> list[str]:
    """Gives a configuration the new numbers of tokens, and the new size, in place.

    Returns:
        Names of the fields whose token is not there any more: these say null.
    """
    lost = []
    for name, value in settings.items():
        if isinstance(value, dict):
            lost += [f"{name}.{each}" for each in renumber(value, vocabulary)]
        elif name == "vocab_size" and value == vocabulary.size_before:
            settings[name] = vocabulary.size
        elif name.endswith(_NUMBERS) and isinstance(value, list):
            found = [vocabulary.renumbered.get(each) for each in value]
            settings[name] = [each for each in found if each is not None]
            lost += [name] if None in found else []
        elif name.endswith(_NUMBERS) and isinstance(value, int) and value >= 0:
            settings[name] = vocabulary.renumbered.get(value)
            lost += [name] if settings[name] is None else []
    return lost


def renumbered_texts(base: Path, vocabulary: MergedVocabulary) -> dict[str, str]:
    """How the base generates, with the new numbers of tokens; empty where nothing says it."""
    path = base / GENERATION
    if not path.is_file():
        return {}
    settings = json.loads(path.read_text(encoding="utf-8"))
    before = json.dumps(settings)
    renumber(settings, vocabulary)
    unchanged = json.dumps(settings) == before
    return {} if unchanged else {GENERATION: json.dumps(settings, indent=2, ensure_ascii=False) + "\n"}


def lost_numbers(base: Path, vocabulary: MergedVocabulary) -> tuple[str, ...]:
    """Notes on fields of the configurations whose token is not there any more."""
    notes = []
    for name in ("config.json", GENERATION):
        if (base / name).is_file():
            lost = renumber(json.loads((base / name).read_text(encoding="utf-8")), vocabulary)
            notes += [f"{name}: {', '.join(lost)} named tokens that the merged model lacks; set them"] if lost else []
    return tuple(notes)


def _settings(settings: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Without tokens that are not there any more, and with the numbers of those that are."""
    gone = {token for token, _ in named_tokens(settings) if token not in vocabulary.ids}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "added_tokens_decoder":
            ordered = sorted(vocabulary.added, key=vocabulary.ids.__getitem__)
            value = {str(vocabulary.ids[token]): {"content": token, **vocabulary.added[token]} for token in ordered}
        elif name in ("additional_special_tokens", "extra_special_tokens"):
            value = _left(value, gone)
        elif name.endswith("_token") and _content(value) in gone:
            continue
        found[name] = value
    return found


def _left(value: Any, gone: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: each for name, each in value.items() if _content(each) not in gone}
    return [each for each in value or () if _content(each) not in gone]


def _content(value: Any) -> Any:
    return value.get("content") if isinstance(value, dict) else value
