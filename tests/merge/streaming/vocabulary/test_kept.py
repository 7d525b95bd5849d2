"""Tokenizers of every kind with some tokens taken out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weightspace.errors import MergeError

pytest.importorskip("tokenizers")
from tokenizers import Tokenizer, models, processors

from tests.merge.streaming.vocabulary.small import bytes_, words
from weightspace.merge.streaming.vocabulary.extended import extended
from weightspace.merge.streaming.vocabulary.kept import kept
from weightspace.merge.streaming.vocabulary.read import read_vocabulary, tokenizer_of, vocabulary_of

PIECES = ["[UNK]", "<s>", "</s>", "c", "a", "t", "ca", "cat"]


def tokenizer(kind: str) -> Tokenizer:
    numbered = {piece: at for at, piece in enumerate(PIECES)}
    if kind == "BPE":
        found = Tokenizer(models.BPE(numbered, [("c", "a"), ("ca", "t")], unk_token="[UNK]"))
    elif kind == "Unigram":
        found = Tokenizer(models.Unigram([(piece, -float(at)) for at, piece in enumerate(PIECES)], 0, False))
    elif kind == "WordPiece":
        pieces = ["[UNK]", "<s>", "</s>", "c", "##a", "##t", "ca", "cat"]
        found = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    else:
        return words(["[UNK]", "<s>", "</s>", "cat", "ca"])
    found.add_special_tokens(["<s>", "</s>"])
    return found


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("BPE", ["cat"], ["ca", "t"]),
        ("Unigram", ["cat"], ["ca", "t"]),
        ("WordPiece", ["cat"], ["ca", "##t"]),
        ("WordLevel", ["<s>", "cat"], ["<s>", "[UNK]"]),
    ],
)
def test_texts_are_split_by_what_is_left(tmp_path, kind: str, before: list[str], after: list[str]) -> None:
    vocabulary = vocabulary_of(tokenizer(kind), tmp_path)
    assert tokenizer_of(vocabulary.content or {}, "test").encode("cat").tokens == before
    found, lost = kept(vocabulary, vocabulary.ids.keys() - {"cat", "</s>"})
    assert lost == 0
    assert sorted(found.ids.values()) == [*range(len(found.ids))]
    split = tokenizer_of(found.content or {}, "test").encode("cat")
    assert split.tokens == after
    assert split.ids == [found.ids[token] for token in after]
    with pytest.raises(MergeError, match=r"'\[UNK\]', which stands for unknown text"):
        kept(vocabulary, vocabulary.ids.keys() - {"[UNK]"})


@pytest.mark.parametrize("kind", ["template", "bert", "roberta"])
def test_tokens_around_texts_get_their_numbers(tmp_path, kind: str) -> None:
    made = tokenizer("WordPiece")
    made.post_processor = {
        "template": processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]),
        "bert": processors.BertProcessing(("</s>", 2), ("<s>", 1)),
        "roberta": processors.Sequence([processors.RobertaProcessing(("</s>", 2), ("<s>", 1))]),
    }[kind]
    made.add_tokens(["more"])
    made.enable_padding(pad_id=8, pad_token="more")
    vocabulary = vocabulary_of(made, tmp_path)
    reordered = vocabulary_of(made, tmp_path).ids.keys() - {"cat", "ca"}
    found, _ = kept(vocabulary, reordered)
    split = tokenizer_of(found.content or {}, "test").encode("c")
    assert split.tokens == ["<s>", "c", "</s>"]
    assert split.ids == [found.ids[token] for token in split.tokens]
    assert found.content is not None
    assert found.content["padding"]["pad_id"] == found.ids["more"] == 6
    with pytest.raises(MergeError, match="'</s>', which is put around texts"):
        kept(vocabulary, vocabulary.ids.keys() - {"</s>"})


def test_lists_of_tokens_are_read_but_not_written(tmp_path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\nthe\ncat\n")
    (tmp_path / "added_tokens.json").write_text('{"<x>": 3}')
    vocabulary = read_vocabulary(tmp_path)
    assert vocabulary.ids == {"[UNK]": 0, "the": 1, "cat": 2, "<x>": 3}
    plain: dict[str, Any] = {"special": False}
    for change in (lambda: kept(vocabulary, {"the"}), lambda: extended(vocabulary, {"dog": plain})):
        with pytest.raises(MergeError, match=r"expected tokenizer.json to (take|add) tokens"):
            change()
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    assert read_vocabulary(tmp_path).ids["b"] == 1


def test_gaps_that_new_tokens_would_fall_in_are_refused() -> None:
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 3}, unk_token="[UNK]"))
    with pytest.raises(MergeError, match="numbered without gaps"):
        extended(vocabulary_of(made, Path("here")), {"c": {"special": False}, "d": {"special": False}})
    assert extended(vocabulary_of(bytes_([]), Path("here")), {"ab": {"special": False}}).ids["ab"] == 256
