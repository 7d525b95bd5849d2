"""The starts of weight matching: kicks, the bound, and stopping where nothing is left to find."""

from __future__ import annotations

import math

import pytest
import torch

from tests.align.oracle import attention_spec, grouped_queries_spec, mlp_spec, random_state
from weightspace.align import align
from weightspace.align.problem import Problem
from weightspace.align.search import KICK, kick

SPECS = [mlp_spec(), attention_spec(), grouped_queries_spec()]


@pytest.mark.parametrize("spec", SPECS)
def test_a_kick_shuffles_no_more_than_its_share_of_every_group(spec):
    state = random_state(spec, 0)
    problem = Problem(state, state, spec, torch.device("cpu"))
    kicks = [kick(problem, torch.Generator().manual_seed(seed)) for seed in range(20)]
    for group in spec.groups:
        copies = kicks[0].perm(group.name).numel() // group.size
        moved = [kick.moved(group.name) for kick in kicks]
        assert max(moved) <= copies * max(2, math.ceil(KICK * group.size))
        assert any(moved)


@pytest.mark.parametrize("spec", SPECS)
def test_no_element_exceeds_the_bound_and_a_copy_reaches_it(spec):
    a, b = random_state(spec, 0), random_state(spec, 1)
    problem = Problem(a, b, spec, torch.device("cpu"))
    for seed in range(10):
        problem.move(spec.random_element(torch.Generator().manual_seed(seed)))
        assert problem.objective() <= problem.upper_bound()
    same = Problem(a, a, spec, torch.device("cpu"))
    assert same.objective() == pytest.approx(same.upper_bound(), rel=1e-12)


def test_the_search_ends_with_the_start_that_finds_a_copy():
    spec = mlp_spec()
    a = random_state(spec, 0)
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(0)), a)
    seen: list[tuple[float, float]] = []
    align(a, b, spec, restarts=7, progress=lambda done, total, _: seen.append((done, total)))
    assert seen[-1] == (7, 7)
    assert all(done < 1 for done, _ in seen[:-1])
