"""The bound on the objective against a search over all group elements."""

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
    mlp_spec,
    random_state,
    recurrent_spec,
    spec_of,
)
from weightspace.align import align
from weightspace.align.bound import upper_bound
from weightspace.align.problem import Problem
from weightspace.symmetry import Group, Spec
from weightspace.symmetry.axis import GroupAxis

CPU = torch.device("cpu")
SMALL = {
    "mlp": mlp_spec(),
    "recurrent": recurrent_spec(),
    "heads": attention_spec(heads=2, qk=3, vo=2),
    "grouped queries": grouped_queries_spec(kv=2, queries=2, vo=2),
    "bilinear": bilinear_spec(2, 2, 3),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("integers", [False, True])
@settings(max_examples=5)
@given(st.integers(0, 2**20))
def test_no_element_exceeds_it_and_it_is_no_worse_than_the_norms(name: str, integers: bool, seed: int):
    spec = SMALL[name]
    a, b = (random_state(spec, 2 * seed + offset, integers=integers) for offset in (0, 1))
    problem = Problem(a, b, spec, CPU)
    bound = upper_bound(problem)
    fixed_part = sum(
        float((a[n].double() * b[n].double()).sum())
        for n, blocks in spec.blocks.items()
        if not any(block.groups for block in blocks)
    )
    best = best_objective(spec, a, b, [group.name for group in spec.groups]) - fixed_part
    assert best <= bound + 1e-6
    assert bound <= problem.upper_bound() * (1 + 1e-9)


def test_one_layer_is_bounded_exactly():
    spec = spec_of(
        (Group("h", 5),),
        {"in": (GroupAxis("h", 5), fixed(3)), "bias": (GroupAxis("h", 5),), "out": (fixed(2), GroupAxis("h", 5))},
    )
    for seed in range(10):
        a, b = random_state(spec, 2 * seed), random_state(spec, 2 * seed + 1)
        bound = upper_bound(Problem(a, b, spec, CPU))
        assert bound == pytest.approx(best_objective(spec, a, b, ["h"]), rel=1e-5)


@pytest.mark.parametrize("spec", SMALL.values())
@pytest.mark.parametrize("balance", [False, True])
def test_it_does_not_depend_on_where_b_is(spec: Spec, balance: bool):
    a, b = random_state(spec, 0), random_state(spec, 1)
    problem = Problem(a, b, spec, CPU, balance=balance)
    before = upper_bound(problem)
    problem.move(spec.random_element(torch.Generator().manual_seed(0)))
    assert upper_bound(problem) == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("spec", SMALL.values())
def test_a_permuted_copy_reaches_it(spec: Spec):
    a = random_state(spec, 0)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(0)), a)
    problem = Problem(a, b, spec, CPU)
    problem.move_to(align(a, b, spec).element)
    assert upper_bound(problem) >= problem.objective() * (1 - 1e-6)


def test_structure_makes_it_much_tighter_than_the_norms():
    """Layers of low rank against others: most of what the norms allow no permutation can reach."""
    spec = mlp_spec(inputs=8, first=16, second=16, outputs=8)
    a, b = random_state(spec, 0), random_state(spec, 1)
    a["2.weight"] = torch.outer(a["2.bias"], a["0.bias"])
    problem = Problem(a, b, spec, CPU)
    assert upper_bound(problem) < 0.8 * problem.upper_bound()
