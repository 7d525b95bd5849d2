"""A tokenizer with some tokens taken out of it, and its others numbered anew from 0 on in their order."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Set
from typing import Any

from weightspace.errors import MergeError
from weightspace.merge.streaming.vocabulary.read import Vocabulary, tokenizer_of, vocabulary_of

_ADVICE = "use tokenizer_source union or base"


def kept(vocabulary: Vocabulary, tokens: Set[str]) -> tuple[Vocabulary, int]:
    """Takes all but some tokens out.

    Text is split by the rules that are left: merges of byte pairs that make a token that is taken out, or need one, go.

    Args:
        vocabulary: The vocabulary.
        tokens: Those that stay.

    Returns:
        The new vocabulary, and how many tokens stay though no text gives them any more.

    Raises:
        MergeError: Some text could then not be split: what stands for unknown text is taken out, or a letter where
            nothing stands for it; or a token that is put around every text; or it is no kind of tokenizer known here.
    """
    where = str(vocabulary.folder)
    if vocabulary.content is None:
        raise MergeError(
            f"{where}: expected tokenizer.json to take tokens out of, found {vocabulary.kind}; save it "
            "as a fast tokenizer of transformers first"
        )
    content: dict[str, Any] = copy.deepcopy(dict(vocabulary.content))
    model, lost = content["model"], 0
    unknown = _unknown(model)
    if unknown is not None and unknown in vocabulary.ids and unknown not in tokens:
        raise MergeError(
            f"{where}: expected '{unknown}', which stands for unknown text, to stay, found that it would "
            f"be taken out; {_ADVICE}"
        )
    if model["type"] == "Unigram":
        model["vocab"] = [piece for piece in model["vocab"] if piece[0] in tokens]
        if unknown is not None:
            model["unk_id"] = [piece for piece, _ in model["vocab"]].index(unknown)
    elif model["type"] in ("BPE", "WordPiece", "WordLevel"):
        if model["type"] == "BPE":
            if unknown not in vocabulary.ids:
                _check_letters(model, tokens, where)
            lost = _merges(model, tokens)
        order = sorted((token for token in model["vocab"] if token in tokens), key=model["vocab"].__getitem__)
        model["vocab"] = {token: number for number, token in enumerate(order)}
    else:
        raise MergeError(
            f"{where}: expected a tokenizer of kind BPE, WordPiece, WordLevel or Unigram, found "
            f"{model['type']}; {_ADVICE}"
        )
    content["added_tokens"] = [each for each in content.get("added_tokens", ()) if each["content"] in tokens]
    padding = content.get("padding")
    if padding and padding["pad_token"] not in tokens:
        padding = content["padding"] = None
    processor, content["post_processor"] = content.get("post_processor"), None
    numbers = tokenizer_of(content, where).get_vocab(with_added_tokens=True)
    if padding:
        padding["pad_id"] = numbers[padding["pad_token"]]
    for each in content["added_tokens"]:
        each["id"] = numbers[each["content"]]
    content["post_processor"] = None if processor is None else _around(processor, numbers, where)
    return vocabulary_of(tokenizer_of(content, where), vocabulary.folder, unchanged=False), lost


def _unknown(model: Mapping[str, Any]) -> str | None:
    """The token for unknown text."""
    if model["type"] == "Unigram":
        return None if model.get("unk_id") is None else model["vocab"][model["unk_id"]][0]
    return model.get("unk_token")


def _check_letters(model: Mapping[str, Any], tokens: Set[str], where: str) -> None:
    """Without a token for unknown text, what no token is left for would vanish from texts."""
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    for token in model["vocab"]:
        if token not in tokens and len(token.removeprefix(prefix).removesuffix(suffix)) == 1:
            raise MergeError(
                f"{where}: expected every letter to stay, as nothing stands for unknown text, found that "
                f"{token!r} would be taken out; {_ADVICE}"
            )


def _merges(model: dict[str, Any], tokens: Set[str]) -> int:
    """Leaves the merges that can still happen; counts the tokens that stay and that none makes any more."""
    prefix = model.get("continuing_subword_prefix") or ""
    pairs = [tuple(each.split(" ")) if isinstance(each, str) else tuple(each) for each in model["merges"]]
    results = [one + other.removeprefix(prefix) for one, other in pairs]
    composed, made, left = set(results), set[str](), []
    for pair, result in zip(pairs, results, strict=True):  # in their order: what a merge needs was made before it
        if result in tokens and all(part in tokens and (part in made or part not in composed) for part in pair):
            made.add(result)
            left.append(list(pair))
    model["merges"] = left
    return 0 if model.get("ignore_merges") else len((composed & tokens) - made)


def _around(processor: dict[str, Any], numbers: Mapping[str, int], where: str) -> dict[str, Any]:
    """What puts tokens around a text, with their new numbers."""

    def number(token: str) -> int:
        if token not in numbers:
            raise MergeError(
                f"{where}: expected '{token}', which is put around texts, to stay, found that it would be "
                f"taken out; {_ADVICE}"
            )
        return numbers[token]

    kind = processor["type"]
    if kind == "Sequence":
        return {**processor, "processors": [_around(each, numbers, where) for each in processor["processors"]]}
    if kind == "TemplateProcessing":
        special = {
            name: {**each, "ids": [number(token) for token in each["tokens"]]}
            for name, each in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": special}
    if kind in ("BertProcessing", "RobertaProcessing"):
        return {**processor, **{end: [processor[end][0], number(processor[end][0])] for end in ("sep", "cls")}}
    return processor
