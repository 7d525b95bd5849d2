"""Costs that are carried along against costs that are formed anew, and searches with little memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.align.oracle import State, attention_spec, grouped_queries_spec, mlp_spec, random_state, recurrent_spec
from weightspace.align import align
from weightspace.align.contraction import contract, inner_product
from weightspace.align.problem import Problem
from weightspace.symmetry import Element, Spec

CPU = torch.device("cpu")
SPECS = [mlp_spec(first=9, second=12), attention_spec(), grouped_queries_spec(), recurrent_spec(6, 3)]


def swapped(spec: Spec, generator: torch.Generator, share: float) -> Element:
    """An element that turns a share of the indices of some groups."""
    perms = {}
    for group in spec.groups:
        if torch.rand((), generator=generator) < 0.6:
            perm = spec.identity().perm(group.name).clone()
            chosen = torch.randperm(group.size, generator=generator)[: round(share * group.size)]
            perm[..., chosen] = perm[..., chosen.roll(1)]
            perms[group.name] = perm
    return Element(spec.all_groups, perms)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("balance", [False, True])
@given(st.integers(0, 2**20), st.sampled_from([0.25, 0.5, 1.0]))
def test_costs_that_follow_the_moves_are_those_formed_anew(spec: Spec, balance: bool, seed: int, share: float):
    a, b = random_state(spec, seed), random_state(spec, seed + 1)
    followed = Problem(a, b, spec, CPU, balance=balance)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(4):
        for group in spec.groups:
            followed.scores(group.name)
        followed.move(swapped(spec, generator, share))
        fresh = Problem(a, b, spec, CPU, balance=balance)
        fresh.move(followed.element)
        for group in spec.groups:
            assert torch.allclose(followed.scores(group.name), fresh.scores(group.name), atol=1e-4)


def test_following_a_small_move_takes_a_small_share_of_the_work():
    spec = mlp_spec(first=40, second=40)
    problem = Problem(random_state(spec, 0), random_state(spec, 1), spec, CPU)
    problem.scores("a")
    whole = problem.work
    perm = torch.arange(40)
    perm[[0, 1]] = perm[[1, 0]]
    problem.move(Element(spec.all_groups, {"b": perm}))
    problem.scores("a")
    assert 0 < problem.work - whole < 0.1 * whole


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("memory", [0, 700])
def test_without_memory_the_same_is_found(spec: Spec, memory: int):
    a, b = random_state(spec, 0), random_state(spec, 1)
    ample, scarce = (align(a, b, spec, restarts=3, memory=room) for room in (1 << 30, memory))
    assert scarce.objective_after == pytest.approx(ample.objective_after, rel=1e-5)
    assert scarce.objective_before == ample.objective_before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_contraction_in_pieces_is_the_whole_one(dtype: torch.dtype, chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("weightspace.align.contraction.CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 4, 5, 2, generator=generator).to(dtype) for _ in range(2))
    x, y = a.float(), b.float()
    for outer, place, equation in (
        ((), 2, "hcik,hcjk->ij"),
        ((0,), 2, "hcik,hcjk->hij"),
        ((3, 0), 1, "hick,hjck->khij"),
    ):
        expected = torch.einsum(equation, x, y)
        once = contract(a, b, outer, place, 2.0, None)
        assert torch.allclose(once, 2 * expected, atol=1e-4)
        assert torch.allclose(contract(a, b, outer, place, 1.0, once), 3 * expected, atol=1e-4)
    assert inner_product(a, b) == pytest.approx(float((x.double() * y.double()).sum()))


def test_halves_are_matched_as_they_are_stored():
    spec = mlp_spec()
    state: State = {name: tensor.bfloat16() for name, tensor in random_state(spec, 0).items()}
    problem = Problem(state, state, spec, CPU)
    assert {problem.a(term).dtype for term in problem.terms} == {torch.bfloat16}
    assert problem.objective() == pytest.approx(problem.upper_bound())
