"""`wsp merge` and `wsp check` of models with unlike vocabularies."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
from tests.merge.streaming.vocabulary.small import A, B, save_model, words

KILLED = """
import os, sys
from pathlib import Path
from weightspace.checkpoint.unfinished import Unfinished
from wsp.main import main

finished = Unfinished.finished
def last(self, name):
    finished(self, name)
    if name == "model.layers.0.mlp.up_proj.weight":
        self.save()
        os._exit(9)
Unfinished.finished = last
sys.argv = ["wsp", *sys.argv[1:]]
main()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(tmp_path / "a", 0, words(A, ["<|im|>"]), rows=20)
    save_model(tmp_path / "b", 1, words(B))
    (tmp_path / "recipe.yml").write_text(
        "merge_method: linear\nmodels: [{model: a}, {model: b}]\ntokenizer: {source: union, pad_to_multiple_of: 8}\n"
    )
    return tmp_path


def test_flags_and_recipes_say_what_happened(start, folder) -> None:
    for given in ((folder / "recipe.yml",), (folder / "a", folder / "b", "--method", "linear", "--tokenizer", "union")):
        process = start("merge", *given, "-o", folder / "out")
        told, noted = process.communicate()
        assert process.returncode == 0, noted
        assert "vocabulary (union): 11 tokens in 1" in told
        assert "7 tokens in common" in told
        assert "2 tokens of other tokenizers are cut out of a text" in noted
        assert "Vocabulary (union)" in (folder / "out" / "README.md").read_text()


def test_checking_reads_no_tensors(wsp, folder) -> None:
    weights = folder / "a" / "model.safetensors"
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    with weights.open("r+b") as file:  # numbers that no merge would accept
        file.seek(header)
        file.write(b"\xff" * (weights.stat().st_size - header))
    outcome = wsp("check", folder / "recipe.yml", "--json")
    assert outcome.status == 0, outcome.stderr
    report = outcome.document["vocabulary"]
    assert (report["tokens"], report["rows"], report["in_common"]) == (11, 16, 7)
    assert set(report["embeddings"]) == {"model.embed_tokens.weight", "lm_head.weight"}
    assert [each["rows"]["padding"] for each in report["models"].values()] == [5, 5]
    outcome = wsp("check", folder / "a", folder / "b", "--tokenizer", "intersection")
    assert "vocabulary (intersection): 8 tokens in 8 rows" in outcome.stdout


def test_a_killed_merge_goes_on_to_the_same_bytes(folder) -> None:
    command = ["merge", "recipe.yml", "--json", "-o"]
    run = partial(subprocess.run, cwd=folder, capture_output=True)
    whole = run([sys.executable, "-m", "wsp", *command, "whole"], check=True)
    assert json.loads(whole.stdout)["resumed"] == 0
    killed = run([sys.executable, "-c", KILLED, *command, "out"], check=False)
    assert killed.returncode == 9
    assert not (folder / "out").exists()
    again = run([sys.executable, "-m", "wsp", *command, "out"], check=True)
    assert json.loads(again.stdout)["resumed"] > 0
    for file in (folder / "whole").iterdir():
        if file.name != "README.md":  # has the name of the folder in it
            assert file.read_bytes() == (folder / "out" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words_"),
    [
        (("a", "b", "--method", "linear"), ["set tokenizer_source to union or base"]),
        (("a", "b", "--method", "linear", "--tokenizer", "onion"), ["expected union, base, intersection", "'onion'"]),
        (("recipe.yml", "--tokenizer", "union"), ["expected all in the recipe, found --tokenizer"]),
        (("a", "b", "--tokenizer", "union"), ["rebasin", "expected no tokenizer_source"]),
        (("wrong.yml",), ["tokenizer.tokens.x.source", "expected token or token_id, found neither"]),
        (("named.yml",), ["chat_template: expected auto or the text", "'chatml'"]),
    ],
)
def test_mistakes_are_one_line(wsp, folder, arguments: tuple[str, ...], words_: list[str]) -> None:
    start = "merge_method: linear\nmodels: [{model: a}, {model: b}]\n"
    (folder / "wrong.yml").write_text(start + "tokenizer: {tokens: {x: {source: {kind: model_token, model: a}}}}\n")
    (folder / "named.yml").write_text(start + "tokenizer_source: union\nchat_template: chatml\n")
    given = [folder / each if (folder / each).exists() else each for each in arguments]
    wsp("merge", *given, "-o", folder / "out").failed_with(*words_)
    assert not (folder / "out").exists()
