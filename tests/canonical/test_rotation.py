"""Rotations of a residual stream: the principal axes of the embeddings become the coordinates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.canonical.orbits import State, difference, image, weights
from weightspace.canonical import canonicalize
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive
from weightspace.symmetry.verify import relative_error

ROTATION = ("rotation",)
ALL = ("permutation", "scale", "sign", "linear", "rotation")
Built = tuple[Program, Spec, State]


def llama() -> tuple[nn.Module, Inputs]:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config), Inputs((torch.arange(16).reshape(2, 8),), {"use_cache": False})


def vit() -> tuple[nn.Module, Inputs]:
    timm = pytest.importorskip("timm")
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=24, num_heads=3)
    return module, Inputs((torch.randn(2, 3, 32, 32),))


def gpt2() -> tuple[nn.Module, Inputs]:
    """Its last norm has a shift that no bias takes up."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=64, n_positions=16, n_embd=24, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config), Inputs((torch.arange(16).reshape(2, 8),), {"use_cache": False})


@pytest.fixture(scope="module", params=[llama, vit, gpt2])
def built(request: pytest.FixtureRequest) -> Built:
    torch.manual_seed(0)
    module, inputs = request.param()
    module.eval()
    program, spec = Program(module, inputs), derive(module, inputs.args, inputs.kwargs)
    return program, spec, weights(program, spec)


@pytest.mark.parametrize("kinds", [ROTATION, ("permutation", "rotation"), ALL])
def test_rotated_streams_become_the_same(built: Built, kinds: tuple[str, ...]):
    program, spec, state = built
    form = canonicalize(state, spec, kinds)
    assert [gauge.kind for gauge in form.gauges].count("rotation") == 1
    assert form.unresolved == 0
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12
    for seed in range(3):
        assert difference(canonicalize(image(spec, state, seed, kinds), spec, kinds).tensors, form.tensors) < 1e-8


def test_the_axes_of_the_embeddings_are_the_coordinates():
    torch.manual_seed(0)
    module, inputs = llama()
    module.eval()
    spec = derive(module, inputs.args, inputs.kwargs)
    form = canonicalize(weights(Program(module, inputs), spec), spec, ROTATION).tensors
    gram = form["model.embed_tokens.weight"].T @ form["model.embed_tokens.weight"]
    assert float((gram - torch.diag(gram.diagonal())).abs().max()) < 1e-12 * float(gram.max())
    assert bool((gram.diagonal()[:-1] > gram.diagonal()[1:]).all())
    assert torch.equal(form["model.layers.0.input_layernorm.weight"], torch.ones(24, dtype=torch.float64))


def test_axes_that_are_not_there_are_reported():
    torch.manual_seed(0)
    module, inputs = llama()
    module.eval()
    program, spec = Program(module, inputs), derive(module, inputs.args, inputs.kwargs)
    state = weights(program, spec)
    state["model.embed_tokens.weight"][:, 5:] = 0.0
    form = canonicalize(state, spec, ROTATION)
    assert form.unresolved == 24
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12
