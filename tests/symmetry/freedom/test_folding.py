"""Scales and shifts of normalisations, folded into what reads them and unfolded again."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.symmetry.freedom.checks import verified
from tests.symmetry.freedom.test_every_kind import Transformer
from tests.symmetry.freedom.test_networks import Gated
from weightspace.errors import SpecError
from weightspace.source import Inputs, Program
from weightspace.symmetry import randomized
from weightspace.symmetry.freedom.freedom import Fold, Freedom
from weightspace.symmetry.freedom.values import fold, unfold
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation
from weightspace.symmetry.verify import relative_error

State = dict[str, Tensor]
SEEDS = st.integers(0, 10**6)


class Block(nn.Module):
    """Embeddings, attention and a perceptron after layer norms, and a head of its own without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(9, 6), nn.Embedding(5, 6)
        self.first, self.second, self.last = (nn.LayerNorm(6) for _ in range(3))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.up, self.down = nn.Linear(6, 7), nn.Linear(7, 6)
        self.head = nn.Linear(6, 9, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.place.weight
        y = self.first(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.down(nn.functional.gelu(self.up(self.second(x))))
        return self.head(self.last(x))


def gpt2(*, tied: bool) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=tied, use_cache=False,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


BUILDERS: dict[str, Any] = {
    "rms": lambda: (Gated(nn.RMSNorm(4, eps=1e-5)), torch.randn(2, 3)),
    "folded": lambda: (Gated(nn.LayerNorm(4)), torch.randn(2, 3)),
    "kept": lambda: (Gated(nn.LayerNorm(4), bias=False), torch.randn(2, 3)),
    "block": lambda: (Block(), torch.arange(5)[None]),
    "gpt2": lambda: (gpt2(tied=False), torch.arange(5)[None]),
}
NAMES = st.sampled_from(sorted(BUILDERS))


@cache
def case(name: str) -> tuple[Spec, Program, State]:
    torch.manual_seed(0)
    module, x = BUILDERS[name]()
    spec = verified(module, x)
    program = Program(module, Inputs((x,), {}))
    return spec, program, randomized(program.state(), spec)


def rotation_of(spec: Spec) -> Freedom:
    (rotation,) = spec.freedoms.only("rotation").all
    return rotation


def vectors(folded: Fold, state: State, seed: int) -> tuple[Tensor, Tensor | None]:
    """A random scale and shift for a norm."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.randn(state[folded.scale].shape, generator=generator, dtype=torch.float64)
    shift = None if folded.shift is None else torch.randn(scale.shape, generator=generator, dtype=torch.float64)
    return scale + 0.1 * scale.sign(), shift


def agree(program: Program, found: State, expected: State) -> None:
    assert relative_error(program.outputs(found), program.outputs(expected)) < 1e-9


# -------------------------------------------------------------------------------------------- what is claimed


@pytest.mark.parametrize(("name", "last"), [("block", "last"), ("gpt2", "transformer.ln_f")])
def test_a_head_of_its_own_without_a_bias_rotates(name: str, last: str):
    rotation = rotation_of(case(name)[0])
    assert rotation.centred
    kept = {one.shift: one.scale for one in rotation.folds if one.keeps_shift}
    assert kept == {f"{last}.bias": f"{last}.weight"}
    assert {p.exponent for p in rotation.places if p.tensor == f"{last}.bias"} == {1}
    turned = {place.tensor for place in rotation.places}
    others = {one.shift for one in rotation.folds if not one.keeps_shift}
    assert others
    assert not turned & others
    assert all(bias is not None for one in rotation.folds if not one.keeps_shift for _, bias in one.readers)


def test_tied_embeddings_do_not_rotate():
    spec = verified(gpt2(tied=True).eval(), torch.arange(5)[None])
    assert spec.freedoms.only("rotation").all == ()


class OneVector(nn.Module):
    """A norm whose scale is its shift."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.vector = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.layer_norm(self.embed(x), (4,), self.vector, self.vector))


def test_one_vector_as_scale_and_shift_cannot_be_folded():
    assert verified(OneVector(), torch.randn(2, 3)).freedoms.only("rotation").all == ()


def test_shifts_without_biases_in_random_transformers():
    for seed in range(4):
        torch.manual_seed(seed)
        module = Transformer(Random(seed))
        width = module.head.in_features
        for layer in module.layers:
            assert isinstance(layer, nn.ModuleDict)
            keys = layer["k"]
            assert isinstance(keys, nn.Linear)
            layer["k"] = nn.Linear(width, keys.out_features, bias=False)
        module.norm, module.head = nn.LayerNorm(width), nn.Linear(width, 2, bias=False)
        spec = verified(module, torch.randn(2, 4, 3))
        assert "norm.bias" in {place.tensor for place in rotation_of(spec).places}


# ------------------------------------------------------------------------------------------ fold and unfold


@given(NAMES, SEEDS)
def test_folding_keeps_the_function_and_is_undone(name: str, seed: int):
    spec, program, state = case(name)
    folds = rotation_of(spec).folds
    one = folds[seed % len(folds)]
    scale, shift = vectors(one, state, seed)
    start = {**state, one.scale: scale, **({} if one.shift is None or shift is None else {one.shift: shift})}
    there = start | fold(spec.freedoms, one, start)
    assert set(fold(spec.freedoms, one, start)) == one.touched
    assert bool((there[one.scale] == 1).all())
    assert one.shift is None or one.keeps_shift or not bool(there[one.shift].any())
    agree(program, there, start)
    back = there | unfold(spec.freedoms, one, scale, shift, there)
    assert list(back) == list(start)
    for key, tensor in start.items():
        torch.testing.assert_close(back[key], tensor, rtol=1e-9, atol=1e-9)


@given(NAMES, SEEDS)
def test_any_scale_and_shift_can_be_taken_out(name: str, seed: int):
    spec, program, state = case(name)
    turn = Transformation.random(spec, torch.Generator().manual_seed(seed), ("rotation",))
    there = turn.apply(state)
    for number, one in enumerate(rotation_of(spec).folds):
        scale, shift = vectors(one, state, seed + number)
        there |= unfold(spec.freedoms, one, scale, shift, there)
        assert torch.equal(there[one.scale], scale)
        if one.shift is not None and not one.keeps_shift:
            assert shift is not None
            assert torch.equal(there[one.shift], shift)
    agree(program, there, state)


@pytest.mark.parametrize("name", ["rms", "folded", "kept"])
def test_scales_that_nothing_can_be_divided_by_become_1(name: str):
    spec, program, state = case(name)
    (one,) = rotation_of(spec).folds
    there = state | fold(spec.freedoms, one, state)
    for smallest in (0.0, 1e-9, 1e-3):
        scale = torch.tensor([2.0, smallest, 1.5, -3.0], dtype=torch.float64)
        back = there | unfold(spec.freedoms, one, scale, None, there)
        assert back[one.scale].tolist() == [2.0, smallest if smallest > 1e-6 else 1.0, 1.5, -3.0]
        agree(program, back, state)
    nothing = there | unfold(spec.freedoms, one, torch.zeros_like(scale), None, there)
    assert all(torch.equal(nothing[key], there[key]) for key in there)


@pytest.mark.parametrize("name", ["folded", "kept"])
def test_types_are_those_of_the_tensors(name: str):
    spec, _, state = case(name)
    (one,) = rotation_of(spec).folds
    stored = {key: tensor.half() for key, tensor in state.items()}
    there = fold(spec.freedoms, one, stored)
    back = unfold(spec.freedoms, one, *vectors(one, state, 0), stored | there)
    assert {tensor.dtype for tensor in (*there.values(), *back.values())} == {torch.float16}


def test_a_shift_is_not_divided_by_0():
    spec, program, state = case("kept")
    zeroed = {**state, "norm.weight": state["norm.weight"].clone(), "norm.bias": state["norm.bias"].clone()}
    zeroed["norm.weight"][2] = 0.0
    turn = Transformation.random(spec, torch.Generator().manual_seed(0), ("rotation",))
    with pytest.raises(SpecError, match=r"^tensor 'norm.weight': expected no 0 where 'norm.bias' .*found 1; .*$"):
        turn.apply(zeroed)
    zeroed["norm.bias"][2] = 0.0
    agree(program, turn.apply(zeroed), zeroed)
    folded = case("folded")[0]
    start = {**case("folded")[2], "norm.weight": zeroed["norm.weight"]}  # a bias takes up any shift
    agree(case("folded")[1], Transformation.random(folded, torch.Generator(), ("rotation",)).apply(start), start)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_folds_are_read_back(name: str):
    rotation = rotation_of(case(name)[0])
    again = Freedom.from_json(json.loads(json.dumps(rotation.to_json())))
    assert again == rotation
    assert [one.keeps_shift for one in again.folds] == [one.keeps_shift for one in rotation.folds]
