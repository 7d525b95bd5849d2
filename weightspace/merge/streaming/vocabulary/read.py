"""Vocabularies of models, from the files in their folders; no code of theirs runs, and nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weightspace.errors import MergeError
from weightspace.source.requirements import require

TOKENIZER, SETTINGS, SPECIAL, ADDED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
LISTS = ("vocab.json", "vocab.txt")
SENTENCEPIECE = ("tokenizer.model", "spiece.model")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokenizer.

    Attributes:
        folder: Where its files lie.
        ids: Every token and its number; added tokens among them.
        added: Added tokens and their settings, such as `special`.
        content: What `tokenizer.json` says with all added tokens; None where only a list of tokens was found.
        unchanged: Whether it is as it was read, so that its files can be copied.
    """

    folder: Path
    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    content: Mapping[str, Any] | None = None
    unchanged: bool = True

    @property
    def kind(self) -> str:
        """What tokenizers it belongs to; tokens of other kinds are written in other ways."""
        if self.content is None:
            return "a list of tokens"
        decoder = (self.content.get("decoder") or {}).get("type")
        return f"{self.content['model']['type']}" + (f" with {decoder}" if decoder else "")


def read_vocabulary(folder: Path) -> Vocabulary:
    """Reads the vocabulary of a transformers folder.

    Raises:
        MergeError: There is none, it is in sentencepiece's format alone, or it cannot be read.
        SourceError: The package tokenizers is not installed.
    """
    if (folder / TOKENIZER).is_file():
        return _completed(folder, (folder / TOKENIZER).read_text(encoding="utf-8"))
    if (folder / LISTS[0]).is_file():
        listed = {str(token): int(number) for token, number in _json(folder / LISTS[0]).items()}
        return Vocabulary(folder, listed | _numbered(folder))
    if (folder / LISTS[1]).is_file():
        lines = (folder / LISTS[1]).read_text(encoding="utf-8").splitlines()
        return Vocabulary(folder, {line: at for at, line in enumerate(lines)} | _numbered(folder))
    found = next((name for name in SENTENCEPIECE if (folder / name).is_file()), None)
    raise MergeError(
        f"{folder}: expected a tokenizer ({TOKENIZER}, {' or '.join(LISTS)}), found "
        + (f"{found} alone; save it as a fast tokenizer of transformers first" if found else "none; add its files")
    )


def tokenizer_of(content: Mapping[str, Any], where: str) -> Any:
    """A `tokenizers.Tokenizer` from what a `tokenizer.json` says.

    Args:
        content: The content.
        where: What to call it in errors.

    Raises:
        MergeError: It is no tokenizer.
        SourceError: The package tokenizers is not installed.
    """
    tokenizers = require("tokenizers", extra="hf", label=where)
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
    except Exception as error:  # the package raises no other
        raise MergeError(f"{where}: expected a tokenizer of transformers, found: {error}") from error


def vocabulary_of(tokenizer: Any, folder: Path, *, unchanged: bool = True) -> Vocabulary:
    """The vocabulary of a `tokenizers.Tokenizer`."""
    added = {token.content: settings_of(token) for token in tokenizer.get_added_tokens_decoder().values()}
    return Vocabulary(
        folder, tokenizer.get_vocab(with_added_tokens=True), added, json.loads(tokenizer.to_str()), unchanged
    )


def settings_of(token: Any) -> dict[str, bool]:
    """The settings of a `tokenizers.AddedToken`."""
    return {name: getattr(token, name) for name in _FLAGS}


def named_tokens(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Tokens with a role, such as `pad_token`, as `tokenizer_config.json` names them, with their settings."""
    for name, value in settings.items():
        listed = name in ("additional_special_tokens", "extra_special_tokens")
        if not listed and not name.endswith("_token"):
            continue
        for each in (value.values() if isinstance(value, dict) else value or ()) if listed else (value,):
            if isinstance(each, str):
                yield each, {"special": True, "normalized": False}
            elif isinstance(each, dict) and isinstance(each.get("content"), str):
                yield each["content"], {flag: bool(each[flag]) for flag in _FLAGS if flag in each} | {"special": True}


def _completed(folder: Path, text: str) -> Vocabulary:
    """With the tokens that transformers adds when it loads the folder, in its order."""
    where = str(folder / TOKENIZER)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise MergeError(f"{where}: expected JSON, found: {error}") from error
    tokenizer = tokenizer_of(content, where)
    tokenizers = require("tokenizers", extra="hf", label=where)
    missing: dict[str, Mapping[str, Any]] = {}
    known = tokenizer.get_vocab(with_added_tokens=True)
    for token, flags in _beside(folder):
        if token not in known:
            missing.setdefault(token, flags)
    if missing:
        tokenizer.add_tokens([tokenizers.AddedToken(token, **flags) for token, flags in missing.items()])
    return vocabulary_of(tokenizer, folder)


def _beside(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    settings = _json(folder / SETTINGS)
    numbered = settings.get("added_tokens_decoder") or {}
    for _, given in sorted(numbered.items(), key=lambda item: int(item[0])):
        yield given["content"], {flag: bool(given[flag]) for flag in _FLAGS if flag in given}
    for token, _ in sorted(_json(folder / ADDED).items(), key=lambda item: item[1]):
        yield token, {}
    yield from named_tokens(settings)
    yield from named_tokens(_json(folder / SPECIAL))


def _numbered(folder: Path) -> dict[str, int]:
    """Added tokens beside a list of tokens."""
    decoder = _json(folder / SETTINGS).get("added_tokens_decoder") or {}
    found = {given["content"]: int(number) for number, given in decoder.items()}
    return found | {str(token): int(number) for token, number in _json(folder / ADDED).items()}


def _json(path: Path) -> dict[str, Any]:
    """An object in a file; an empty one without the file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MergeError(f"{path}: expected JSON, found: {error}") from error
    if not isinstance(content, dict):
        raise MergeError(f"{path}: expected an object, found a {type(content).__name__}")
    return content
