"""Merges of models with unlike vocabularies: every token has the row that the rules say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import MergeError
from weightspace.merge.recipe import recipe_of
from weightspace.merge.streaming import merge_files, prepare
from weightspace.merge.streaming.vocabulary import read_vocabulary, vocabulary_report

pytest.importorskip("tokenizers")
from tests.merge.streaming.vocabulary.small import A, B, C, bytes_, recipe, save_model, words

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(tmp_path / "a", 0, words(A, ["<|im|>"]), rows=20, settings={"bos_token": "<s>"})
    save_model(tmp_path / "b", 1, words(B))
    save_model(tmp_path / "c", 2, words(C, ["<|im|>"]))
    return tmp_path


def rows(folder: Path, name: str, tensor: str = EMBEDDINGS[0]) -> dict[str, Tensor]:
    """The row of every token of a model, from its own files."""
    values = open_checkpoint(folder / name)[tensor]
    return {token: values[number] for token, number in read_vocabulary(folder / name).ids.items()}


def expected(folder: Path, names: str, token: str, tensor: str, base: str | None = None) -> Tensor:
    """The mean of a linear merge: the row of each model, of models without it as mergekit defines."""
    known = [rows(folder, name, tensor).get(token) for name in names]
    has = [row for row in known if row is not None]
    filled = rows(folder, base, tensor).get(token) if base else None
    filled = torch.stack(has).mean(0) if filled is None else filled
    return torch.stack([filled if row is None else row for row in known]).mean(0)


@pytest.mark.parametrize("source", ["union", "base", "intersection", "b"])
@pytest.mark.parametrize("base", [None, "a"])
def test_every_token_has_its_row(folder, source: str, base: str | None) -> None:
    named = str(folder / source) if source == "b" else source
    fields = {"tokenizer_source": named} | ({} if base is None else {"base_model": str(folder / base)})
    found = prepare(recipe(folder, "a", "b", "c", **fields), folder / "out")
    merge_files(found)
    everything = {"union": {*A, *B, *C, "<|im|>"}, "base": {*A, "<|im|>"}, "b": {*B}}
    tokens = everything.get(source, ({*A} & {*B} & {*C}) | {"<|im|>"})
    for tensor in EMBEDDINGS:
        merged = rows(folder, "out", tensor)
        assert set(merged) == tokens
        for token, row in merged.items():
            torch.testing.assert_close(row, expected(folder, "abc", token, tensor, base), msg=f"{tensor} {token}")
    config = json.loads((folder / "out" / "config.json").read_text())
    assert config["vocab_size"] == len(tokens) == len(open_checkpoint(folder / "out")[EMBEDDINGS[0]])
    assert "tokens in common" in (folder / "out" / "README.md").read_text()
    torch.testing.assert_close(
        open_checkpoint(folder / "out")["model.norm.weight"],
        torch.stack([open_checkpoint(folder / name)["model.norm.weight"] for name in "abc"]).mean(0),
    )


def test_the_union_keeps_numbers_and_settings(folder) -> None:
    merge_files(prepare(recipe(folder, "b", "a", "c", tokenizer_source="union"), folder / "out"))
    before, after = read_vocabulary(folder / "b"), read_vocabulary(folder / "out")
    assert all(after.ids[token] == number for token, number in before.ids.items())
    assert sorted(after.ids.values()) == [*range(len(after.ids))]
    assert after.added["<|im|>"] == read_vocabulary(folder / "a").added["<|im|>"]
    assert after.added["alpha"]["special"] is False


@pytest.mark.parametrize("source", ["union", "base", "intersection", "b"])
def test_transformers_loads_it(folder, source: str) -> None:
    transformers = pytest.importorskip("transformers")
    named = str(folder / source) if source == "b" else source
    merge_files(prepare(recipe(folder, "a", "b", tokenizer_source=named), folder / "out"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "out")
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings
    for text in ("the cat sat", "cat both beta"):
        numbers = tokenizer(text, return_tensors="pt").input_ids
        known = [*read_vocabulary(folder / "out").ids]
        assert tokenizer.convert_ids_to_tokens(numbers[0].tolist()) == [
            "<s>", *(word if word in known else "[UNK]" for word in text.split()),
        ]  # fmt: skip
        assert model(numbers).logits.isfinite().all()
    assert tokenizer.get_vocab() == read_vocabulary(folder / "out").ids


def test_without_differences_files_are_copied(folder) -> None:
    save_model(folder / "d", 3, words(A, ["<|im|>"]), rows=20)
    merge_files(prepare(recipe(folder, "a", "d", tokenizer_source="union"), folder / "out"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / "out" / name).read_bytes() == (folder / "a" / name).read_bytes()


@pytest.mark.parametrize("multiple", [8, 64])
def test_padding_rows_are_the_mean(folder, multiple: int) -> None:
    wanted = {"source": "union", "pad_to_multiple_of": multiple}
    merge_files(prepare(recipe(folder, "a", "b", tokenizer=wanted), folder / "out"))
    values, count = open_checkpoint(folder / "out")[EMBEDDINGS[0]], len(read_vocabulary(folder / "out").ids)
    assert len(values) % multiple == 0
    assert len(values) - count < multiple
    torch.testing.assert_close(values[count:], values[:count].mean(0).expand(len(values) - count, -1))


def test_a_recipe_says_where_tokens_come_from(folder) -> None:
    a, b = str(folder / "a"), str(folder / "b")
    tokens = {
        "new": {"source": {"kind": "model_token", "model": a, "token": "cat"}},
        "number": {"source": {"kind": "model_token", "model": b, "token_id": 3}},
        "alpha": {"source": {"kind": "zero"}},
        "the": {"source": a, "force": True},
        "sat": {"source": {"kind": "zero"}, "force": True},
        "cat": {"source": a},
    }
    wanted = {"source": "union", "tokens": tokens}
    merge_files(prepare(recipe(folder, "a", "b", tokenizer=wanted), folder / "out"))
    merged, one, two = (rows(folder, name) for name in ("out", "a", "b"))
    torch.testing.assert_close(merged["new"], one["cat"])
    torch.testing.assert_close(merged["number"], two["the"])
    torch.testing.assert_close(merged["alpha"], one["alpha"] / 2)
    torch.testing.assert_close(merged["the"], one["the"])
    assert not merged["sat"].any()
    torch.testing.assert_close(merged["cat"], (one["cat"] + two["cat"]) / 2)


def test_tied_embeddings_stay_tied(tmp_path) -> None:
    for at, (name, tokens) in enumerate({"a": A, "b": B}.items()):
        save_model(tmp_path / name, at, words(tokens), tied=True)
    merge_files(prepare(recipe(tmp_path, "a", "b", tokenizer_source="union"), tmp_path / "out"))
    assert "lm_head.weight" not in open_checkpoint(tmp_path / "out")
    for token, row in rows(tmp_path, "out").items():
        torch.testing.assert_close(row, expected(tmp_path, "ab", token, EMBEDDINGS[0]))


def test_tokens_without_rows_are_left_out(folder) -> None:
    """A token was added to a tokenizer, but not to its model."""
    save_model(folder / "d", 3, words(A, ["<pad>"]), rows=len(A), settings={"pad_token": "<pad>"})
    found = prepare(recipe(folder, "d", "b", tokenizer_source="union"), folder / "out")
    assert any("1 tokens have numbers from 8 on" in note for note in found.notes)
    merge_files(found)
    assert set(read_vocabulary(folder / "out").ids) == {*A, *B}
    assert "pad_token" not in json.loads((folder / "out" / "tokenizer_config.json").read_text())


def test_tokens_that_settings_add_are_known(folder) -> None:
    save_model(
        folder / "d", 3, words(A), rows=20, settings={"pad_token": "<pad>", "additional_special_tokens": ["<x>"]}
    )
    vocabulary = read_vocabulary(folder / "d")
    assert (vocabulary.ids["<pad>"], vocabulary.ids["<x>"]) == (8, 9) or vocabulary.ids["<x>"] == 8
    transformers = pytest.importorskip("transformers")
    assert transformers.AutoTokenizer.from_pretrained(folder / "d").get_vocab() == vocabulary.ids


def test_numbers_in_configurations_follow(folder) -> None:
    for name in ("config.json", "generation_config.json"):
        path = folder / "a" / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, "bos_token_id": 1, "eos_token_id": [2, 8], "pad_token_id": 6}))
    found = prepare(recipe(folder, "a", "c", tokenizer_source=str(folder / "c")), folder / "out")
    merge_files(found)
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / "out" / name).read_text())
        assert (content["bos_token_id"], content["eos_token_id"], content["pad_token_id"]) == (2, [1, 5], None)
    assert any("config.json: pad_token_id" in note for note in found.notes)


def test_the_report_counts(folder) -> None:
    found = prepare(recipe(folder, "a", "b", "c", tokenizer_source="union"), None)
    assert found.vocabulary is not None
    report = vocabulary_report(found.vocabulary)
    assert (report["tokens"], report["rows"], report["in_common"]) == (11, 11, 4)
    first, second, third = report["models"].values()
    assert [each["tokens"] for each in (first, second, third)] == [9, 9, 6]
    assert [each["only"] for each in (first, second, third)] == [1, 1, 0]
    assert first["rows"] == {"own": 9, str(folder / "b"): 1, "mean": 1, "zero": 0, "padding": 0}


# ---------------------------------------------------------------------- pairs of bytes

MERGES = (("c", "a"), ("ca", "t"), ("Ġ", "cat"), ("d", "o"), ("do", "g"))


def test_an_intersection_of_byte_pairs_still_splits_every_text(tmp_path) -> None:
    save_model(tmp_path / "a", 0, bytes_(MERGES, ["<|end|>", "<|a|>"]))
    save_model(tmp_path / "b", 1, bytes_((MERGES[0], MERGES[3], MERGES[4], ("t", "h")), ["<|end|>"]))
    found = prepare(recipe(tmp_path, "a", "b", tokenizer_source="intersection"), tmp_path / "out")
    merge_files(found)
    vocabulary = read_vocabulary(tmp_path / "out")
    assert len(vocabulary.ids) == 256 + 3 + 2  # special tokens of the base stay
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.tokenize("a cat dog") == ["a", "Ġ", "ca", "t", "Ġ", "dog"]
    assert tokenizer.decode(tokenizer("the cat, ä<|end|>").input_ids) == "the cat, ä<|end|>"
    for token, row in rows(tmp_path, "out").items():
        torch.testing.assert_close(row, expected(tmp_path, "ab", token, EMBEDDINGS[0]))


def test_merges_that_lost_a_part_go(tmp_path) -> None:
    save_model(tmp_path / "a", 0, bytes_(MERGES))
    tokenizer = bytes_(((MERGES[0]), ("a", "t"), ("c", "at"), ("Ġ", "cat")))
    save_model(tmp_path / "b", 1, tokenizer)
    save_model(tmp_path / "c", 2, bytes_((("a", "t"), ("c", "at"))))
    found = prepare(recipe(tmp_path, "a", "b", "c", tokenizer_source="intersection"), tmp_path / "out")
    assert any("1 tokens stay that no text gives" in note for note in found.notes)  # cat, which needs ca
    merge_files(found)
    assert json.loads((tmp_path / "out" / "tokenizer.json").read_text())["model"]["merges"] == []


@pytest.mark.parametrize("kind", ["GPT2Tokenizer", "Qwen2Tokenizer", "LlamaTokenizerFast"])
@pytest.mark.parametrize("source", ["union", "intersection", "base"])
def test_classes_of_tokenizers_add_nothing_of_their_own(tmp_path, kind: str, source: str) -> None:
    """These classes have special tokens that they add where they find them missing: numbers without rows."""
    transformers = pytest.importorskip("transformers")
    own, settings = ["<|endoftext|>", "<unk>", "<s>", "</s>"], {"tokenizer_class": kind}
    save_model(tmp_path / "a", 0, bytes_(MERGES, own), settings=settings)
    save_model(tmp_path / "b", 1, bytes_((("t", "h"),), ["<|im|>"]), settings=settings)
    merge_files(prepare(recipe(tmp_path, "a", "b", tokenizer_source=source), tmp_path / "out"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.get_vocab() == read_vocabulary(tmp_path / "out").ids
    assert tokenizer.decode(tokenizer(" cat dog", add_special_tokens=False).input_ids) == " cat dog"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_of_two_models_keep_their_rows(tmp_path, dtype: torch.dtype) -> None:
    """Embeddings come from the model of the first slice, the head from that of the last."""
    save_model(tmp_path / "a", 0, words(A), dtype=dtype)
    save_model(tmp_path / "b", 1, words(B), dtype=dtype)
    spans = {"a": [0, 2], "b": [1, 2]}
    slices = [{"sources": [{"model": str(tmp_path / name), "layer_range": span}]} for name, span in spans.items()]
    content = {"merge_method": "passthrough", "slices": slices, "tokenizer_source": "union"}
    merge_files(prepare(recipe_of(content, "test"), tmp_path / "out"))
    for tensor, first, second in zip(EMBEDDINGS, "ab", "ba", strict=True):
        expected_rows = {**rows(tmp_path, second, tensor), **rows(tmp_path, first, tensor)}
        found = rows(tmp_path, "out", tensor)
        assert found.keys() == expected_rows.keys()
        assert all(torch.equal(row, expected_rows[token]) for token, row in found.items())


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "words_"),
    [
        ({"tokenizer_source": "unoin"}, ["union, base, intersection or a folder", "'unoin'"]),
        ({"tokenizer": {"tokens": {"x": {"source": "nobody"}}}}, ["tokenizer.tokens.x", "'nobody'"]),
        ({"tokenizer": {"tokens": {"x": {}}}}, ["tokenizer.tokens.x", "expected a source"]),
        ({"tokenizer": {"tokens": {"x": {"source": "A"}}}}, ["tokenizer.tokens.x", "'x' has none"]),
        (
            {"tokenizer": {"tokens": {"x": {"source": {"kind": "model_token", "model": "A", "token_id": 99}}}}},
            ["tokenizer.tokens.x", "'id 99' has none"],
        ),
    ],
)
def test_wrong_sources_are_refused(folder, fields, words_: list[str]) -> None:
    fields = json.loads(json.dumps(fields).replace('"A"', json.dumps(str(folder / "a"))))
    with pytest.raises(MergeError) as caught:
        prepare(recipe(folder, "a", "b", **fields), folder / "out")
    assert all(word in str(caught.value) for word in words_), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words_"),
    [
        ("absent", ["expected a tokenizer", "found none"]),
        ("sentencepiece", ["tokenizer.model alone"]),
        ("broken", ["tokenizer.json", "expected JSON"]),
        ("no tokenizer", ["tokenizer.json", "expected a tokenizer of transformers"]),
        ("no size", ["config.json", "vocab_size"]),
        ("large size", ["a row for each of 999 tokens"]),
    ],
)
def test_wrong_folders_are_refused(folder, change: str, words_: list[str]) -> None:
    tokenizer, config = folder / "b" / "tokenizer.json", folder / "b" / "config.json"
    settings = json.loads(config.read_text())
    if change in ("absent", "sentencepiece"):
        tokenizer.unlink()
    if change == "sentencepiece":
        (folder / "b" / "tokenizer.model").write_bytes(b"\n")
    if change in ("broken", "no tokenizer"):
        tokenizer.write_text("{" if change == "broken" else "{}")
    if change in ("no size", "large size"):
        settings.pop("vocab_size")
        config.write_text(json.dumps(settings | ({"vocab_size": 999} if change == "large size" else {})))
    with pytest.raises(MergeError) as caught:
        prepare(recipe(folder, "a", "b", tokenizer_source="union"), folder / "out")
    assert all(word in str(caught.value) for word in (str(folder / "b"), *words_)), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(20,), (20, 3), (1, 20)])
def test_tensors_that_may_have_a_row_for_every_token_are_refused(folder, shape: tuple[int, ...]) -> None:
    """Where the sizes differ, extents that follow them tell."""
    for name, size in (("a", 20), ("d", 20), ("b", 9)):
        if name == "d":
            save_model(folder / "d", 3, words(A), rows=20)
        path = str(folder / name / "model.safetensors")
        own = tuple(size if extent == 20 else extent for extent in shape)
        save_file({**load_file(path), "scale": torch.ones(own)}, path)
    with pytest.raises(MergeError, match=r"tensor 'scale': expected a name that says whether"):
        prepare(recipe(folder, "a", "d", tokenizer_source="union"), folder / "out")
    if shape[0] == 20:
        found = prepare(recipe(folder, "a", "b", tokenizer_source="union"), folder / "out")
        assert found.plan.infos["scale"].shape == (11, *shape[1:])


def test_intersections_that_lose_text_are_refused(tmp_path) -> None:
    save_model(tmp_path / "a", 0, words(A))
    save_model(tmp_path / "b", 1, words(A[1:]))
    with pytest.raises(MergeError, match=r"'\[UNK\]', which stands for unknown"):
        prepare(recipe(tmp_path, "a", "b", tokenizer_source="intersection"), None)
    save_model(tmp_path / "bytes", 0, bytes_(MERGES))
    save_model(tmp_path / "letters", 1, words(("[UNK]", "<s>", *"abcdefgh")))
    with pytest.raises(MergeError, match="every letter to stay"):
        prepare(recipe(tmp_path, "bytes", "letters", tokenizer_source="intersection"), None)


def test_a_single_file_cannot_hold_a_tokenizer(folder) -> None:
    with pytest.raises(MergeError, match=r"expected a folder, to write the tokenizer to"):
        prepare(recipe(folder, "a", "b", tokenizer_source="union"), folder / "out.safetensors")


# ---------------------------------------------------------------------- without a tokenizer_source


def test_sizes_that_differ_are_refused_with_advice(folder) -> None:
    with pytest.raises(MergeError, match="set tokenizer_source to union or base"):
        prepare(recipe(folder, "a", "b"), folder / "out")


def test_equal_sizes_with_other_tokens_are_noted(folder) -> None:
    save_model(folder / "d", 3, words((*A[:3], "cat", "the", *A[5:]), ["<|im|>"]), rows=20)
    save_model(folder / "e", 3, words(A, ["<|im|>"]), rows=20)
    (note,) = prepare(recipe(folder, "a", "d", "e"), folder / "out").notes
    assert "2 of 9 numbers mean other tokens" in note
    assert "3 is 'cat' there and 'the' here" in note
    assert prepare(recipe(folder, "a", "e"), folder / "out").notes == ()
    assert prepare(recipe(folder, "a", "d", tokenizer_source="base"), folder / "out").notes == ()
