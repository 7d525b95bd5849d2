"""Merges of unlike vocabularies by mergekit and by ours: the same tokens, and of each the same rows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.merge.streaming.test_mergekit import INTERPRETER, SCRIPT
from weightspace.checkpoint import open_checkpoint
from weightspace.merge.recipe import read_recipe
from weightspace.merge.streaming import merge_files, prepare
from weightspace.merge.streaming.vocabulary import read_vocabulary

pytest.importorskip("tokenizers")
from tests.merge.streaming.vocabulary.small import A, B, C, bytes_, save_model, words

pytestmark = pytest.mark.skipif(INTERPRETER is None, reason="WSP_MERGEKIT_PYTHON names no interpreter with mergekit")

MODELS = "models:\n- {model: M0, parameters: {weight: 0.6}}\n- {model: M1, parameters: {weight: 0.3}}\n- model: M2\n  \
parameters: {weight: 0.5}\n"
LINEAR, ARITHMETIC = f"merge_method: linear\n{MODELS}", f"merge_method: task_arithmetic\nbase_model: M0\n{MODELS}"
# Without zeros: mergekit 0.1.4 fails at kind: zero and at tokens that no model has (UnboundLocalError). With force, as
# it adds new tokens to the base's own tokenizer and then takes padding rows of the base for them.
TOKENS = """tokenizer:
  source: SOURCE
  pad_to_multiple_of: 8
  tokens:
    new: {source: {kind: model_token, model: M0, token: cat}, force: true}
    number: {source: {kind: model_token, model: M1, token_id: 4}, force: true}
    the: {source: M0, force: true}
    cat: {source: M2}
"""
RECIPES = {
    "union": f"{LINEAR}tokenizer_source: union\n",
    "union with a base": f"{ARITHMETIC}tokenizer_source: union\n",
    "base with a base": f"{ARITHMETIC}tokenizer_source: base\n",
    "model": f"{LINEAR}tokenizer_source: M1\n",
    "tokens of a union": LINEAR + TOKENS.replace("SOURCE", "union"),
    "tokens of a base": ARITHMETIC + TOKENS.replace("SOURCE", "base"),
    "bytes": "merge_method: linear\nmodels:\n- {model: M3, parameters: {weight: 1}}\n"
    "- {model: M4, parameters: {weight: 2}}\ntokenizer_source: union\n",
}


@pytest.fixture(scope="module")
def merged(tmp_path_factory) -> Path:
    """A folder with recipes, and what mergekit made of each."""
    folder = tmp_path_factory.mktemp("mergekit")
    tokenizers = [
        words(A, ["<|im|>"]), words(B), words((*C, "the"), ["<|im|>"]), bytes_((("c", "a"), ("ca", "t")), ["<|end|>"]),
        bytes_((("d", "o"), ("Ġ", "do")), ["<|im|>"]),
    ]  # fmt: skip
    for at, tokenizer in enumerate(tokenizers):
        save_model(folder / f"m{at}", at, tokenizer, rows=32 if at == 0 else None)
    for name, text in RECIPES.items():
        for at in range(len(tokenizers)):
            text = text.replace(f"M{at}", str(folder / f"m{at}"))
        (folder / f"{name}.yml").write_text(f"{text}dtype: float32\n")
    assert INTERPRETER is not None
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [INTERPRETER, "-c", SCRIPT, folder], capture_output=True, text=True, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_vocabularies_agree(merged: Path, name: str) -> None:
    """The same tokens with the same rows.

    Numbers may differ: without a base mergekit starts from any of the models, and further tokens come in no order.
    """
    merge_files(prepare(read_recipe(merged / f"{name}.yml"), merged / f"{name}-ours"))
    ours, theirs = (open_checkpoint(merged / f"{name}-{whose}") for whose in ("ours", "theirs"))
    one, other = (read_vocabulary(merged / f"{name}-{whose}") for whose in ("ours", "theirs"))
    assert set(one.ids) == set(other.ids)
    special = [{token: flags for token, flags in each.added.items() if flags["special"]} for each in (one, other)]
    assert special[0] == special[1]
    assert set(ours) == set(theirs)
    for tensor in theirs:
        mine, yours = ours[tensor], theirs[tensor]
        assert mine.shape == yours.shape
        if tensor in ("model.embed_tokens.weight", "lm_head.weight"):
            padding = yours[len(other.ids) :]
            mine = mine[[*(one.ids[token] for token in other.ids), *range(len(one.ids), len(mine))]]
            yours = yours[[*other.ids.values(), *range(len(other.ids), len(yours))]]
            assert len(padding) < 8
        assert float((mine - yours).abs().max()) <= 1e-6, tensor
