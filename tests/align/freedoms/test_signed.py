"""Permutations and signs together: planted ones come back, one step is exact, and the objective never falls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from tests.align.freedoms.networks import (
    NETWORKS,
    distance,
    narrow,
    noisy,
    normed,
    of_widths,
    planted,
    relu,
    with_weights,
)
from tests.align.networks import gpt2, llama
from tests.align.networks import mlp as relu_and_tanh
from tests.align.oracle import State, attention_spec, elements, inner_product, random_state
from weightspace.align.freedoms.sign_layout import sign_layouts
from weightspace.align.freedoms.sign_state import SignState
from weightspace.align.freedoms.signed import settle_signed
from weightspace.align.freedoms.signed_search import signed_units
from weightspace.align.freedoms.signed_step import signed_step
from weightspace.align.problem import Problem
from weightspace.align.settle import settle
from weightspace.symmetry import Spec, Transformation

CPU = torch.device("cpu")
TOLERANCE = 1e-6


def signed_problem(spec: Spec, a: State, b: State, start: Transformation) -> tuple[Problem, SignState]:
    signs = SignState(spec, sign_layouts(spec), start.values)
    problem = Problem(a, b, spec, CPU, change=signs.act)
    problem.move_to(start.element)
    return problem, signs


def signed_permutations(spec: Spec, group: str, start: Transformation) -> Iterator[Transformation]:
    """All transformations that differ from one in the order and the signs of one group."""
    names = [freedom.name for freedom in spec.freedoms.only("sign").all if freedom.group == group]
    size = next(g.size for g in spec.groups if g.name == group)
    rows = [torch.tensor(row).double() for row in itertools.product((1, -1), repeat=size)]
    for element in elements(spec, [group]):
        perms = {**start.element.perms, **element.perms}
        for values in itertools.product(rows, repeat=len(names)):
            moved = type(element)(spec.all_groups, perms)
            yield Transformation(spec, moved, {**start.values, **dict(zip(names, values, strict=True))})


@pytest.mark.parametrize("build", [narrow, normed])
@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_a_step_finds_the_best_of_all_signed_permutations(build, integers: bool, seed: int):
    spec, _ = with_weights(build, 0)
    a, b = (random_state(spec, 2 * seed + offset, integers=integers) for offset in (0, 1))
    start, _ = planted(spec, b, seed)
    group = spec.groups[0].name
    problem, signs = signed_problem(spec, a, b, start)
    before = problem.objective()
    gain = signed_step(problem, signs, group)
    assert problem.objective() - before == pytest.approx(gain, abs=1e-4)
    found = inner_product(spec, a, signs.transformation(problem).apply(b))
    best = max(inner_product(spec, a, each.apply(b)) for each in signed_permutations(spec, group, start))
    assert found == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(2))
def test_a_planted_transformation_comes_back(name: str, seed: int):
    spec, a = with_weights(NETWORKS[name], seed)
    _, b = planted(spec, a, seed + 100)
    assert distance(b, a) > 0.5
    found = settle_signed(a, b, spec, device=CPU, seed=seed)
    assert distance(found.apply(b), a) < TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("balance", [False, True])
def test_it_comes_back_from_under_noise(name: str, balance: bool):
    spec, a = with_weights(NETWORKS[name], 5)
    _, b = planted(spec, a, 6)
    found = settle_signed(a, noisy(b, 0.3, 7), spec, device=CPU, seed=0, balance=balance)
    assert distance(found.apply(b), a) < TOLERANCE


@pytest.mark.parametrize("build", [llama, gpt2])
def test_signs_of_a_transformer_come_back(build):
    """Of Llama the blocks are cut otherwise by rotary frequencies; its stream is coupled with every normalisation."""
    pytest.importorskip("transformers")
    spec, a = with_weights(build, 0)
    _, b = planted(spec, a, 1)
    found = settle_signed(a, noisy(b, 0.3, 2), spec, device=CPU, seed=0)
    assert len(found.values) == len(spec.freedoms.only("sign").all) > 0
    assert distance(found.apply(b), a) < TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_no_visit_lets_the_objective_fall(name: str):
    spec, a = with_weights(NETWORKS[name], 0)
    _, b = with_weights(NETWORKS[name], 1)
    start, _ = planted(spec, b, 2)
    problem, signs = signed_problem(spec, a, b, start)
    constant = inner_product(spec, a, start.apply(b)) - problem.objective()
    bound, gained = problem.upper_bound(), 0.0
    for unit in signed_units(problem, signs) * 3:
        before = problem.objective()
        gain = unit.step(problem)
        assert problem.objective() - before == pytest.approx(gain, abs=TOLERANCE * bound)
        assert gain >= 0.0
        gained += gain
    assert gained > 0.0
    after = inner_product(spec, a, signs.transformation(problem).apply(b)) - constant
    assert after == pytest.approx(problem.objective(), abs=TOLERANCE * bound)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("close", [False, True])
def test_the_end_is_no_worse_than_the_start(name: str, close: bool):
    spec, a = with_weights(NETWORKS[name], 0)
    _, b = with_weights(NETWORKS[name], 0 if close else 1)
    start = Transformation.identity(spec) if close else planted(spec, b, 2)[0]
    seen: list[float] = []
    found = settle_signed(
        a,
        b,
        spec,
        device=CPU,
        seed=0,
        start=start,
        restarts=2,
        balance=False,
        progress=lambda done, *_: seen.append(done),
    )
    assert seen[0] == 0
    assert seen[-1] == 2
    assert inner_product(spec, a, found.apply(b)) >= inner_product(spec, a, start.apply(b)) * (1 - 1e-9)


def test_equal_seeds_give_equal_results():
    spec, a = with_weights(of_widths(4, 24, 24, 2), 0)
    _, b = with_weights(of_widths(4, 24, 24, 2), 1)
    one, other = (settle_signed(a, b, spec, device=CPU, seed=3) for _ in range(2))
    assert all(torch.equal(one.element.perm(g.name), other.element.perm(g.name)) for g in spec.groups)
    assert all(torch.equal(value, other.values[name]) for name, value in one.values.items())


def test_values_are_signs_in_float64():
    spec, a = with_weights(narrow, 0)
    _, b = planted(spec, a, 1)
    found = settle_signed(a, b, spec, device=CPU, seed=0)
    assert set(found.values) == {freedom.name for freedom in spec.freedoms.only("sign").all}
    assert all(value.dtype == torch.float64 and bool((value.abs() == 1).all()) for value in found.values.values())


def test_half_precision_comes_back_exactly():
    spec, state = with_weights(of_widths(6, 16, 16, 3), 0)
    a = {name: tensor.bfloat16() for name, tensor in state.items()}
    _, b = planted(spec, a, 1)
    aligned = settle_signed(a, b, spec, device=CPU, seed=0).apply(b)
    assert all(torch.equal(aligned[name], a[name]) for name in a)


def test_other_freedoms_stay_as_they_are_at_the_start():
    spec, a = with_weights(relu_and_tanh, 0)
    _, b = with_weights(relu_and_tanh, 1)
    start = Transformation.random(spec, torch.Generator().manual_seed(2))
    scales = [freedom.name for freedom in spec.freedoms.only("scale").all]
    found = settle_signed(a, b, spec, device=CPU, seed=0, start=start, restarts=1, balance=False)
    assert scales
    assert all(torch.equal(found.values[name], start.values[name]) for name in scales)
    assert inner_product(spec, a, found.apply(b)) > inner_product(spec, a, start.apply(b))


@pytest.mark.parametrize("spec", [with_weights(relu, 0)[0], attention_spec()])
def test_without_signs_it_settles_as_ever(spec: Spec):
    a, b = random_state(spec, 0), random_state(spec, 1)
    element = spec.random_element(torch.Generator().manual_seed(2))
    problem = Problem(a, b, spec, CPU, balance=True)
    problem.move_to(element)
    settle(problem, seed=3)
    start = Transformation(spec, element)
    found = settle_signed(a, b, spec, device=CPU, seed=3, start=start)
    assert problem.element.inverse().then(found.element).is_identity()
    assert found.values == {}
