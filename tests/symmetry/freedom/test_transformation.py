"""The algebra of transformations: composition, inverse, restriction, gradients, files, types, refusals."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.symmetry.freedom.test_networks import Attention, Gated, stack
from weightspace.errors import SpecError
from weightspace.source import Inputs, Program
from weightspace.symmetry import derive, randomized
from weightspace.symmetry.freedom import KINDS
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.transformation import Transformation

State = dict[str, Tensor]
SEEDS = st.integers(0, 10**6)
FOLDING = ("rms", "layer", "kept")


class Rotary(nn.Module):
    """One layer of attention with a rotary embedding, pairs in halves."""

    cos: Tensor
    sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(4, 8), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(8, 3)
        angle = torch.arange(5.0)[:, None] * torch.tensor([1.0, 0.1]).repeat(2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def turn(self, x: Tensor) -> Tensor:
        return x * self.cos + torch.cat([-x[..., 2:], x[..., :2]], -1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (-1, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = self.turn(q), self.turn(k)
        k, v = (y.repeat_interleave(2, 1) for y in (k, v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


BUILDERS = {
    "normed": lambda: (stack(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 2)), (2, 3, 6)),
    "signs": lambda: (stack(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), (2, 3)),
    "attention": lambda: (Attention(4, 2, 3), (2, 5, 4)),
    "rotary": lambda: (Rotary(), (2, 5, 4)),
    "rms": lambda: (Gated(nn.RMSNorm(4, eps=1e-5)), (2, 3)),
    "layer": lambda: (Gated(nn.LayerNorm(4)), (2, 3)),
    "kept": lambda: (Gated(nn.LayerNorm(4), bias=False), (2, 3)),
}
NAMES = st.sampled_from(sorted(BUILDERS))


@cache
def case(name: str) -> tuple[Spec, Program, State]:
    torch.manual_seed(0)
    module, shape = BUILDERS[name]()
    inputs = (torch.randn(shape),)
    spec = derive(module.eval(), inputs)
    program = Program(module, Inputs(inputs, {}))
    return spec, program, randomized(program.state(), spec)


def drawn(spec: Spec, *seeds: int) -> list[Transformation]:
    return [Transformation.random(spec, torch.Generator().manual_seed(seed)) for seed in seeds]


def close(found: State, expected: State) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_all_kinds_of_freedoms_are_among_the_cases():
    assert {freedom.kind for name in BUILDERS for freedom in case(name)[0].freedoms.all} == set(KINDS)


@given(NAMES, SEEDS, SEEDS)
def test_one_after_the_other_is_their_composition(name: str, first: int, second: int):
    spec, _, state = case(name)
    a, b = drawn(spec, first, second)
    close(b.apply(a.apply(state)), a.then(b).apply(state))


@given(NAMES, SEEDS)
def test_composition_is_associative(name: str, seed: int):
    spec, _, state = case(name)
    a, b, c = drawn(spec, seed, seed + 1, seed + 2)
    close(a.then(b).then(c).apply(state), a.then(b.then(c)).apply(state))


@given(NAMES, SEEDS)
def test_inverse_undoes(name: str, seed: int):
    spec, _, state = case(name)
    (a,) = drawn(spec, seed)
    if name in FOLDING:  # the scales are gone: what comes back are the weights with their scales folded
        still = Transformation.random(spec, torch.Generator(), ("rotation",))
        values = {key: torch.eye(v.shape[-1], dtype=v.dtype).expand(v.shape) for key, v in still.values.items()}
        state = Transformation(spec, spec.identity(), values).apply(state)
        (rest,) = (a.restrict([*a.values, *(g.name for g in spec.groups)]),)
        moved = rest.apply(state)
        close(a.inverse().apply(moved), _refolded(spec, a, state))
        return
    close(a.inverse().apply(a.apply(state)), state)
    close(a.apply(a.inverse().apply(state)), state)


def _refolded(spec: Spec, a: Transformation, state: State) -> State:
    """Weights with scales that some other freedom of ``a`` moved after they were folded, and then folded once more."""
    return a.then(a.inverse()).apply(state)


@given(NAMES)
def test_identity_changes_nothing(name: str):
    spec, _, state = case(name)
    one = Transformation.identity(spec)
    close(one.apply(state), state)
    (a,) = drawn(spec, 0)
    close(one.then(a).apply(state), a.apply(state))
    close(a.then(one).apply(state), a.apply(state))


@given(NAMES, SEEDS, SEEDS)
def test_compositions_and_inverses_keep_the_function(name: str, first: int, second: int):
    spec, program, state = case(name)
    a, b = drawn(spec, first, second)
    expected = program.outputs(state)
    for one in (a, a.then(b), a.then(b).inverse(), a.inverse().then(b)):
        for y, reference in zip(program.outputs(one.apply(state)), expected, strict=True):
            torch.testing.assert_close(y, reference, rtol=1e-7, atol=1e-7)
    for y, reference in zip(program.outputs(a.inverse().apply(a.apply(state))), expected, strict=True):
        torch.testing.assert_close(y, reference, rtol=1e-7, atol=1e-7)


@given(NAMES, SEEDS)
def test_a_restriction_acts_in_what_it_names_alone(name: str, seed: int):
    spec, _, state = case(name)
    (a,) = drawn(spec, seed)
    freedom = spec.freedoms.all[seed % len(spec.freedoms.all)]
    one = a.restrict([freedom.name])
    touched = {place.tensor for place in freedom.places} | {turn.tensor for turn in freedom.turns}
    touched |= {tensor for fold in freedom.folds for tensor in fold.touched}
    moved = one.apply(state)
    assert all(torch.equal(moved[key], state[key]) for key in state if key not in touched)
    assert any(not torch.equal(moved[key], state[key]) for key in touched if key) or freedom.kind == "sign"
    close(a.restrict([*a.values, *(group.name for group in spec.groups)]).apply(state), a.apply(state))


def test_maps_move_with_the_heads_that_hold_them():
    spec, _, state = case("attention")
    (a,) = drawn(spec, 3)
    values = {name: value for name, value in a.values.items() if spec.freedoms.by_name[name].kind == "linear"}
    heads = next(g for g in spec.groups if g.size == 2 and not g.depends_on)
    swap = spec.random_element(torch.Generator().manual_seed(0))
    while swap.restrict([heads.name]).is_identity():
        swap = spec.random_element(torch.Generator().manual_seed(int(torch.randint(10**6, ()))))
    maps, moves = Transformation(spec, spec.identity(), values), Transformation(spec, swap)
    assert all(not torch.allclose(value[0], value[1]) for value in values.values())
    close(moves.then(maps).apply(state), maps.apply(moves.apply(state)))
    close(maps.then(moves).apply(state), moves.apply(maps.apply(state)))


# ------------------------------------------------------------------------------------------------ gradients


def gradients(name: str, state: State) -> State:
    """Gradients of a loss at given weights."""
    spec = case(name)[0]
    torch.manual_seed(0)
    module, shape = BUILDERS[name]()
    weights = {n: t.clone().requires_grad_(spec.tensors[n].kind == "parameter") for n, t in state.items()}
    y = torch.func.functional_call(module.eval().double(), weights, (torch.randn(shape).double(),))
    loss = (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=y.dtype)).sum()
    wanted = {n: t for n, t in weights.items() if t.requires_grad}
    return dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True))


@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in FOLDING])
def test_gradients_go_the_other_way(name: str):
    spec, _, state = case(name)
    (a,) = drawn(spec, 11)
    old, moved = gradients(name, state), a.apply(state)
    found = a.apply_to_gradients(old)
    close(found, gradients(name, moved))
    generator = torch.Generator().manual_seed(8)
    step = {n: torch.randn(t.shape, generator=generator, dtype=t.dtype) for n, t in old.items()}
    # A task vector goes as the weights do: what is added to them is moved by the linear part of the action.
    further = a.apply({n: t + step[n] if n in step else t for n, t in state.items()})
    product = sum(float((found[n] * (further[n] - moved[n])).sum()) for n in old)
    assert product == pytest.approx(sum(float((old[n] * step[n]).sum()) for n in old), rel=1e-9)


def test_gradients_do_not_follow_folded_scales():
    spec, _, state = case("rms")
    (a,) = drawn(spec, 0)
    with pytest.raises(SpecError, match="gradients do not follow a rotation that folds scales away"):
        a.apply_to_gradients(gradients("rms", state))


@pytest.mark.parametrize("name", BUILDERS)
def test_squares_of_gradients_follow_scales_and_signs(name: str):
    spec, _, state = case(name)
    some = Transformation.random(spec, torch.Generator().manual_seed(3), ("permutation", "scale", "sign"))
    old = {key: value.square() for key, value in gradients(name, state).items()}
    found = some.apply_to_squares(old)
    close(found, {key: value.square() for key, value in gradients(name, some.apply(state)).items()})


def test_squares_of_gradients_do_not_follow_what_mixes_units():
    spec, _, state = case("rms")
    (a,) = drawn(spec, 0)
    with pytest.raises(SpecError, match=r"expected scales, signs and permutations alone .* found kind"):
        a.apply_to_squares(gradients("rms", state))


# ------------------------------------------------------------------------------------------- files and types


@pytest.mark.parametrize("name", BUILDERS)
def test_a_spec_read_back_acts_alike(name: str):
    spec, _, state = case(name)
    again = Spec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again.hash == spec.hash
    (a,), (b,) = drawn(spec, 5), drawn(again, 5)
    close(a.apply(state), b.apply(state))
    assert again.freedoms.to_json() == spec.freedoms.to_json()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", BUILDERS)
def test_types_are_kept(name: str, dtype: torch.dtype):
    spec, _, state = case(name)
    (a,) = drawn(spec, 5)
    stored = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    before = {key: tensor.clone() for key, tensor in stored.items()}
    moved = a.apply(stored)
    assert {key: tensor.dtype for key, tensor in moved.items()} == {key: t.dtype for key, t in stored.items()}
    assert all(torch.equal(stored[key], before[key]) for key in stored)  # its arguments stay
    exact = a.apply({key: t.double() if t.is_floating_point() else t for key, t in stored.items()})
    for key, tensor in moved.items():
        torch.testing.assert_close(
            tensor.double(), exact[key].double(), rtol=20 * torch.finfo(dtype).eps, atol=20 * torch.finfo(dtype).eps
        )


class TiedEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(ids)))


def test_tied_tensors_move_under_each_of_their_names():
    module, ids = TiedEmbedding().eval(), torch.arange(5)[None]
    spec = derive(module, (ids,))
    generator = torch.Generator().manual_seed(0)
    moved = Transformation.random(spec, generator).apply(module.state_dict())
    assert torch.equal(moved["embed.weight"], moved["head.weight"])
    assert not torch.equal(moved["embed.weight"], module.embed.weight)
    (expected, found) = module(ids), torch.func.functional_call(module, moved, (ids,))
    torch.testing.assert_close(found, expected)


def test_values_of_a_wrong_shape_are_refused():
    spec, _, state = case("signs")
    name = spec.freedoms.all[0].name
    with pytest.raises(SpecError, match=r"expected values of shape \(\d,\), found \(9,\)"):
        Transformation(spec, spec.identity(), {name: torch.ones(9)})
    with pytest.raises(SpecError, match="'nothing' is not a freedom of the spec"):
        Transformation(spec, spec.identity(), {"nothing": torch.ones(4)})
    (a,) = drawn(spec, 0)
    with pytest.raises(SpecError, match=r"tensor '0.weight': the spec expects shape \(4, 3\), found \(4, 4\)"):
        a.apply({**state, "0.weight": torch.ones(4, 4)})
    with pytest.raises(SpecError, match="two different specs"):
        a.then(drawn(case("normed")[0], 0)[0])
