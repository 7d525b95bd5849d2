"""The vocabulary of a merged model: its tokens, its tokenizer, and where the rows of its embeddings come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weightspace.checkpoint import Checkpoint
from weightspace.errors import MergeError
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.vocabulary.embeddings import embeddings_of, vocabulary_size
from weightspace.merge.streaming.vocabulary.extended import extended
from weightspace.merge.streaming.vocabulary.kept import kept
from weightspace.merge.streaming.vocabulary.read import Vocabulary, read_vocabulary
from weightspace.merge.streaming.vocabulary.rows import Rows, rows_of

BASE, UNION, INTERSECTION = "base", "union", "intersection"
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}


@dataclass(frozen=True)
class MergedVocabulary:
    """The vocabulary of a merged model.

    Attributes:
        source: What the recipe asks for.
        tokenizer: The tokenizer that it gets.
        models: The tokens of each model that have a row, and which; the base first.
        rows: Where the rows of the embeddings come from.
        embeddings: Names of the tensors with a row for every token.
        renumbered: The number of each token of the base -> its number now, or None without it.
        size: Number of rows now.
        size_before: Number of tokens that the configuration of the base says.
        notes: What the user ought to know, one line each.
    """

    source: str
    tokenizer: Vocabulary
    models: Mapping[str, Mapping[str, int]]
    rows: Rows
    embeddings: tuple[str, ...]
    renumbered: Mapping[int, int | None]
    size: int
    size_before: int
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """What embeddings depend on, as hexadecimal digits."""
        parts = [repr(self.embeddings).encode(), self.rows.own.tobytes(), self.rows.donor.tobytes()]
        return hashlib.sha256(b"\0".join([*parts, self.rows.row.tobytes()])).hexdigest()


def merged_vocabulary(
    recipe: Recipe, checkpoints: Mapping[str, Checkpoint], models: Mapping[str, Model], folder: Path | None
) -> MergedVocabulary | None:
    """What a recipe says of the vocabulary, done; None where it says nothing.

    Args:
        recipe: The recipe.
        checkpoints: The models that it names, the base first, with their folders.
        models: What their tensors are read from.
        folder: Where a tokenizer is looked for beside the working directory.

    Raises:
        MergeError: A tokenizer cannot be read or merged, or it cannot be told which tensors are embeddings.
        SourceError: The package tokenizers is not installed.
    """
    wanted = recipe.vocabulary
    if wanted is None:
        return None
    sizes = {name: vocabulary_size(each.config_path, name) for name, each in checkpoints.items()}
    embeddings = embeddings_of(models, sizes)
    read = {name: read_vocabulary(each.config_path.parent) for name, each in checkpoints.items() if each.config_path}
    usable = {name: {t: n for t, n in each.ids.items() if n < sizes[name]} for name, each in read.items()}
    notes = [
        f"{name}: {len(each.ids) - len(usable[name])} tokens have numbers from {sizes[name]} on, where it has no rows"
        for name, each in read.items()
        if len(usable[name]) < len(each.ids)
    ]
    base = next(iter(checkpoints))
    tokenizer = _tokenizer(wanted.source, base, read, usable, notes, folder)
    tokens = wanted.tokens or {}
    tokenizer = extended(tokenizer, {token: _PLAIN for token in tokens if token not in tokenizer.ids})
    count = max(tokenizer.ids.values()) + 1
    size = count + -count % (wanted.pad_to_multiple_of or 1)
    rows = rows_of(tokenizer.ids, size, usable, recipe.base_model, tokens)
    numbers = {number: tokenizer.ids.get(token) for token, number in read[base].ids.items()}
    return MergedVocabulary(
        wanted.source, tokenizer, usable, rows, embeddings, numbers, size, sizes[base], tuple(notes)
    )


def _tokenizer(
    source: str,
    base: str,
    read: Mapping[str, Vocabulary],
    usable: Mapping[str, Mapping[str, int]],
    notes: list[str],
    folder: Path | None,
) -> Vocabulary:
    """The tokenizer that a recipe asks for; adds to the notes."""
    if source not in (BASE, UNION, INTERSECTION):
        return _of_folder(source, base, read, usable, folder)
    first = _with_rows(read[base], usable[base])
    if source == BASE:
        return first
    kinds = {each.kind: name for name, each in read.items()}
    if len(kinds) > 1:
        told = ", ".join(f"{name}: {kind}" for kind, name in kinds.items())
        notes.append(
            f"tokenizers of unlike kinds may write one text in two ways, and match by how it is written: {told}"
        )
    if source == INTERSECTION:
        common = set(first.ids).intersection(*usable.values())
        if not common:
            raise MergeError(
                f"tokenizer_source intersection: expected tokens in common, found none of {', '.join(read)}"
            )
        # What ends a text, templates and classes of tokenizers count on them: these would come back without a row.
        common |= {token for token, flags in first.added.items() if flags["special"]}
        if len(common) == len(first.ids):
            return first
        found, lost = kept(first, common)
        if lost:
            notes.append(f"intersection: {lost} tokens stay that no text gives any more, as merges to them went")
        return found
    return extended(first, _others(first, read, usable, notes))


def _others(
    first: Vocabulary, read: Mapping[str, Vocabulary], usable: Mapping[str, Mapping[str, int]], notes: list[str]
) -> dict[str, Mapping[str, bool]]:
    """What a union adds to the base: the tokens of the others, then the added ones of all with their settings."""
    plain: dict[str, Mapping[str, bool]] = {}
    added: dict[str, Mapping[str, bool]] = {}
    unlike = []
    for name, each in read.items():
        for token in sorted(usable[name], key=usable[name].__getitem__):
            if token in each.added:
                if added.setdefault(token, each.added[token]) != each.added[token]:
                    unlike.append(token)
            elif token not in first.ids:
                plain[token] = _PLAIN
    pieces = [token for token in plain if token not in added]
    if unlike:
        notes.append(f"added with unlike settings, of which the first count: {', '.join(map(repr, unlike[:5]))}"
                     + (f" and {len(unlike) - 5} more" if len(unlike) > 5 else ""))  # fmt: skip
    if pieces:
        notes.append(
            f"union: {len(pieces)} tokens of other tokenizers are cut out of a text wherever it holds them, "
            f"before it is split by the rules of the base, such as {pieces[0]!r}"
        )
    return dict.fromkeys(pieces, _PLAIN) | added


def _of_folder(
    source: str,
    base: str,
    read: Mapping[str, Vocabulary],
    usable: Mapping[str, Mapping[str, int]],
    folder: Path | None,
) -> Vocabulary:
    """The tokenizer of one of the models, or of another folder."""
    if source in read:
        return _with_rows(read[source], usable[source])
    place = Path(source)
    if not place.is_dir() and folder is not None:
        place = folder / source
    if not place.is_dir():
        raise MergeError(
            f"tokenizer_source: expected {UNION}, {BASE}, {INTERSECTION} or a folder with a tokenizer, found '{source}'"
        )
    found = read_vocabulary(place)
    if not any(found.ids.keys() & known.keys() for known in usable.values()):
        raise MergeError(
            f"tokenizer_source {source}: expected tokens of the models such as those of {base}, found "
            "none; use their tokenizer"
        )
    return found


def _with_rows(vocabulary: Vocabulary, usable: Mapping[str, int]) -> Vocabulary:
    """Without tokens that the model has no rows for."""
    return vocabulary if len(usable) == len(vocabulary.ids) else kept(vocabulary, usable.keys())[0]
