"""A tokenizer with further tokens behind its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weightspace.errors import MergeError
from weightspace.merge.streaming.vocabulary.read import Vocabulary, tokenizer_of, vocabulary_of
from weightspace.source.requirements import require


def extended(vocabulary: Vocabulary, tokens: Mapping[str, Mapping[str, Any]]) -> Vocabulary:
    """Adds tokens as added tokens: they are cut out of a text before it is split by the tokenizer's own rules.

    Args:
        vocabulary: The vocabulary.
        tokens: The tokens in the order in which they get their numbers, with settings such as `special`; one that is
            there already keeps its number and gets the settings.

    Raises:
        MergeError: There is no tokenizer that tokens can be added to, or its numbers have gaps that they would fall in.
        SourceError: The package tokenizers is not installed.
    """
    new = {token: flags for token, flags in tokens.items() if vocabulary.added.get(token) != flags or token not in
           vocabulary.ids}  # fmt: skip
    if not new:
        return vocabulary
    where = str(vocabulary.folder)
    if vocabulary.content is None:
        raise MergeError(
            f"{where}: expected tokenizer.json to add tokens to, found {vocabulary.kind}; save it as a "
            "fast tokenizer of transformers first"
        )
    tokenizers = require("tokenizers", extra="hf", label=where)
    tokenizer = tokenizer_of(vocabulary.content, where)
    tokenizer.add_tokens([tokenizers.AddedToken(token, **flags) for token, flags in new.items()])
    found = vocabulary_of(tokenizer, vocabulary.folder, unchanged=False)
    moved = any(found.ids[token] != number for token, number in vocabulary.ids.items())
    if moved or len(set(found.ids.values())) < len(found.ids):
        raise MergeError(
            f"{where}: expected tokens numbered without gaps, to add others behind them, found that some "
            "would get one number; use another model as the base"
        )
    return found
