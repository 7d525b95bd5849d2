"""Chat templates of merged models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weightspace.errors import MergeError
from weightspace.merge.streaming import merge_files, prepare

pytest.importorskip("tokenizers")
from tests.merge.streaming.vocabulary.small import A, B, recipe, save_model, words

ONE = "{% for message in messages %}one {{ message.content }}{% endfor %}"
TWO = ONE.replace("one", "two")


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(tmp_path / "a", 0, words(A), settings={"chat_template": ONE})
    save_model(tmp_path / "b", 1, words(A), settings={"chat_template": [{"name": "default", "template": TWO}]})
    save_model(tmp_path / "c", 2, words(A))
    (tmp_path / "c" / "chat_template.jinja").write_text(TWO + "\n")
    save_model(tmp_path / "d", 3, words(B))
    return tmp_path


@pytest.mark.parametrize(
    ("names", "fields", "template"),
    [
        ("abc", {"chat_template": "auto"}, TWO),
        ("ab", {"chat_template": "auto"}, ONE),
        ("dc", {"chat_template": "auto", "tokenizer_source": "union"}, TWO),
        ("ab", {"chat_template": TWO}, TWO),
        ("ad", {"chat_template": TWO, "tokenizer_source": "union"}, TWO),
        ("ad", {"tokenizer_source": "union"}, ONE),
        ("cd", {"tokenizer_source": "union"}, TWO + "\n"),
        ("d", {"chat_template": "auto"}, None),
    ],
)
def test_transformers_finds_the_template(folder, names: str, fields: dict[str, str], template: str | None) -> None:
    transformers = pytest.importorskip("transformers")
    merge_files(prepare(recipe(folder, *names, **fields), folder / "out"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "out")
    assert tokenizer.chat_template == template
    if template is not None:
        written = tokenizer.apply_chat_template([{"role": "user", "content": "cat"}], tokenize=False)
        assert written.strip() == f"{'one' if 'one' in template else 'two'} cat"
    if "chat_template" in fields and template is not None:
        assert "chat_template" not in json.loads((folder / "out" / "tokenizer_config.json").read_text())


@pytest.mark.parametrize("template", ["chatml", "no template at all, only words"])
def test_names_of_templates_are_refused(folder, template: str) -> None:
    with pytest.raises(MergeError, match=r"chat_template: expected auto or the text of a template in jinja, found"):
        prepare(recipe(folder, "a", "b", chat_template=template), folder / "out")
