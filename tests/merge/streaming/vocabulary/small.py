"""Small Llama checkpoints with tokenizers of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tests.merge.streaming.llama import save_llama
from weightspace.merge.recipe import Recipe, recipe_of

COMMON = ("[UNK]", "<s>", "</s>", "the", "cat", "sat")
A, B, C = (*COMMON, "alpha", "both"), (*COMMON, "both", "beta", "gamma"), ("[UNK]", "</s>", "<s>", "cat", "beta")


def words(tokens: Sequence[str], added: Sequence[str] = (), *, special: Sequence[str] = ("<s>", "</s>")) -> Tokenizer:
    """A tokenizer of whole words."""
    tokenizer = Tokenizer(models.WordLevel({token: at for at, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([token for token in special if token in tokens])
    tokenizer.add_tokens([AddedToken(token, special=True, lstrip=True, normalized=False) for token in added])
    if "<s>" in tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            "<s> $A", special_tokens=[("<s>", tokens.index("<s>"))]
        )
    return tokenizer


def bytes_(merges: Sequence[tuple[str, str]], added: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer of pairs of bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: at for at, token in enumerate([*letters, *(one + other for one, other in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab, list(merges)))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(list(added))
    return tokenizer


def save_model(
    folder: Path,
    seed: int,
    tokenizer: Tokenizer,
    *,
    rows: int | None = None,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """A folder as transformers writes it; `rows` of embeddings, by default one for every token."""
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    save_llama(folder, seed, layers=2, kinds=False, vocabulary=rows or size, **options)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", **(settings or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


def recipe(folder: Path, *names: str, **fields: Any) -> Recipe:
    """A linear merge of models in a folder."""
    listed = [{"model": str(folder / name)} for name in names]
    return recipe_of({"merge_method": "linear", "models": listed, **fields}, "test")
