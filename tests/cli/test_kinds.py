"""`--kinds`: aligning by more than permutations."""

from __future__ import annotations

import json

import pytest
import torch

from weightspace.checkpoint import open_checkpoint


@pytest.fixture
def untied_pair(tmp_path):
    """Two GPT-2s with output heads of their own: B is A in other coordinates but for noise."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from weightspace.source import Inputs
    from weightspace.symmetry import Transformation, derive

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=31, n_embd=16, n_layer=1, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path / "a")
    inputs = Inputs((torch.arange(8).reshape(1, 8),), {"use_cache": False})
    spec = derive(model, inputs.args, inputs.kwargs)
    moved = Transformation.random(spec, torch.Generator().manual_seed(0), ("permutation", "linear", "rotation"))
    model.load_state_dict(moved.apply(model.state_dict()))
    model.save_pretrained(tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


def test_a_rotated_copy_comes_back_and_loads(wsp, untied_pair, tmp_path) -> None:
    from transformers import GPT2LMHeadModel

    a, b = untied_pair
    outcome = wsp("align", a, b, "-o", tmp_path / "c", "--kinds", "permutation,linear,rotation", "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["freedoms"] == {"linear": 2, "rotation": 1}
    assert outcome.document["preservation_error"] < 1e-5
    assert json.loads((tmp_path / "c" / "wsp.json").read_text())["recipe"]["kinds"] == [
        "permutation", "linear", "rotation",
    ]  # fmt: skip
    tokens = torch.arange(8).reshape(1, 8)
    models = [GPT2LMHeadModel.from_pretrained(path).eval() for path in (b, tmp_path / "c")]
    with torch.no_grad():
        before, after = (model(tokens).logits for model in models)
    assert torch.allclose(before, after, atol=1e-4)
    reference, aligned = open_checkpoint(a).tensors(), open_checkpoint(tmp_path / "c").tensors()
    name = "transformer.wte.weight"
    assert torch.allclose(reference[name], aligned[name], atol=1e-3)


def test_what_was_used_is_shown(wsp, untied_pair, tmp_path) -> None:
    outcome = wsp("align", *untied_pair, "-o", tmp_path / "c", "--kinds", "permutation,linear")
    assert outcome.status == 0, outcome.stderr
    assert "beside permutations: 2 of linear" in outcome.stderr + outcome.stdout


def test_kinds_that_do_not_exist(wsp, mlp_pair, tmp_path) -> None:
    outcome = wsp("align", *mlp_pair, "-o", tmp_path / "c.safetensors", "--kinds", "permutation,scal")
    outcome.failed_with("kind 'scal'", "did you mean 'scale'")


def test_an_activation_that_nobody_named(wsp, mlp_pair, tmp_path) -> None:
    outcome = wsp("align", *mlp_pair, "-o", tmp_path / "c.safetensors", "--kinds", "permutation,scale")
    outcome.failed_with("pass --activation relu")


def test_a_rescaled_copy_comes_back(wsp, mlp_pair, tmp_path) -> None:
    a, b = mlp_pair
    outcome = wsp(
        "merge",
        a,
        b,
        "-o",
        tmp_path / "c.safetensors",
        "--kinds",
        "permutation,scale",
        "--activation",
        "relu",
        "--json",
    )
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["freedoms"]["scale"] >= 1
