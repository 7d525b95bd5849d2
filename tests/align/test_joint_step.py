"""The joint step for heads and what is inside of them against a search over all elements of their groups."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.align.oracle import (
    attention_spec,
    best_objective,
    bilinear_spec,
    fixed,
    grouped_queries_spec,
    inner_product,
    problem_of,
    spec_of,
)
from weightspace.align.joint import is_joint, joint_step
from weightspace.align.single import single_step
from weightspace.align.unit import Unit, units_of
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.axis import GroupAxis, ProductAxis

SEEDS = st.integers(0, 2**20)


def group_norm_spec(groups: int = 3, channels: int = 3) -> Spec:
    """GroupNorm: groups of channels, and channels within each."""
    c = ProductAxis((GroupAxis("g", groups), GroupAxis("c", channels)))
    return spec_of(
        (Group("g", groups), Group("c", channels, ("g",))),
        {"conv.weight": (c, fixed(3)), "norm.weight": (c,), "norm.bias": (c,), "head.weight": (fixed(2), c)},
    )


EXACT = [
    pytest.param(group_norm_spec(), ("g", "c"), id="3 groups of 3 channels"),
    pytest.param(attention_spec(heads=2, qk=3, vo=2), ("heads", "qk", "vo"), id="2 heads of 3 and 2 dimensions"),
    pytest.param(attention_spec(heads=3, qk=2, vo=2), ("heads", "qk", "vo"), id="3 heads of 2 and 2 dimensions"),
]
COUPLED = [
    pytest.param(grouped_queries_spec(), ("kv", "queries", "vo"), id="grouped queries"),
    pytest.param(grouped_queries_spec(kv=4, queries=3, vo=2), ("kv", "queries", "vo"), id="more grouped queries"),
    pytest.param(bilinear_spec(), ("outer", "left", "right"), id="no block with one inner group alone"),
]


@pytest.mark.parametrize(("spec", "groups"), EXACT)
@settings(max_examples=5)
@given(SEEDS, st.booleans())
def test_the_step_is_exact_where_no_block_carries_two_inner_groups(
    spec: Spec, groups: tuple[str, ...], seed: int, integers: bool
):
    problem, a, b = problem_of(spec, seed, integers=integers)
    before = problem.objective()
    gain = joint_step(problem, groups[0], groups[1:], problem.terms)
    best = best_objective(spec, a, b, list(groups))
    assert problem.objective() == pytest.approx(best, abs=1e-4)
    assert gain == pytest.approx(problem.objective() - before, abs=1e-4)
    assert inner_product(spec, a, spec.apply(problem.element, b)) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(("spec", "groups"), EXACT)
@settings(max_examples=5)
@given(SEEDS)
def test_the_step_starts_from_anywhere(spec: Spec, groups: tuple[str, ...], seed: int):
    first, _, _ = problem_of(spec, seed)
    second, _, _ = problem_of(spec, seed)
    second.move(spec.random_element(torch.Generator().manual_seed(seed)))
    for problem in (first, second):
        joint_step(problem, groups[0], groups[1:], problem.terms)
    assert second.objective() == pytest.approx(first.objective(), abs=1e-4)
    assert joint_step(first, groups[0], groups[1:], first.terms) == 0.0


@pytest.mark.parametrize(("spec", "groups"), COUPLED)
@settings(max_examples=60)
@given(SEEDS)
def test_with_two_inner_groups_in_a_block_it_is_no_worse_than_separate_steps(
    spec: Spec, groups: tuple[str, ...], seed: int
):
    joint, _, _ = problem_of(spec, seed)
    separate, _, _ = problem_of(spec, seed)
    joint_step(joint, groups[0], groups[1:], joint.terms)
    for group in groups:
        single_step(separate, group, separate.terms)
    assert joint.objective() >= separate.objective() - 1e-4


@pytest.mark.parametrize(("spec", "groups"), COUPLED)
@settings(max_examples=30)
@given(SEEDS, st.booleans())
def test_with_two_inner_groups_in_a_block_it_never_lowers_the_objective(
    spec: Spec, groups: tuple[str, ...], seed: int, integers: bool
):
    problem, _, _ = problem_of(spec, seed, integers=integers)
    problem.move(spec.random_element(torch.Generator().manual_seed(seed)))
    for _ in range(3):
        before = problem.objective()
        gain = joint_step(problem, groups[0], groups[1:], problem.terms)
        assert problem.objective() - before == pytest.approx(gain, abs=1e-4)
        assert problem.objective() >= before


@settings(max_examples=5)
@given(SEEDS)
def test_grouped_queries_come_close_to_the_best_element(seed: int):
    spec = grouped_queries_spec(kv=2, queries=2, vo=3)
    problem, a, b = problem_of(spec, seed)
    joint_step(problem, "kv", ("queries", "vo"), problem.terms)
    best = best_objective(spec, a, b, ["kv", "queries", "vo"])
    assert inner_product(spec, a, b) < problem.objective() <= best + 1e-4
    assert problem.objective() >= 0.8 * best


def test_heads_are_one_unit_with_what_is_inside_of_them():
    problem, _, _ = problem_of(grouped_queries_spec(), 0)
    assert units_of(problem) == [Unit(("kv", "queries", "vo"))]


def test_heads_that_a_block_carries_twice_are_matched_group_by_group():
    h = GroupAxis("heads", 3)
    spec = spec_of(
        (Group("heads", 3), Group("inner", 2, ("heads",))),
        {"w": (ProductAxis((h, GroupAxis("inner", 2))), fixed(3)), "mixing": (h, h)},
    )
    problem, _, _ = problem_of(spec, 0)
    assert not is_joint(problem, "heads", ["inner"])
    assert units_of(problem) == [Unit(("heads",)), Unit(("inner",))]


def test_nothing_moves_where_no_term_carries_the_outer_group():
    problem, _, _ = problem_of(attention_spec(), 0)
    assert joint_step(problem, "heads", ("qk", "vo"), []) == 0.0
    assert problem.element.is_identity()


def test_a_unit_falls_back_to_its_groups_where_the_joint_step_gains_nothing():
    # Only the heads: the joint step finds what the step for the heads alone finds, once.
    problem, _, _ = problem_of(attention_spec(), 1)
    unit = units_of(problem)[0]
    assert unit.step(problem) > 0.0
    assert unit.step(problem) == 0.0
