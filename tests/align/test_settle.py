from __future__ import annotations

import pytest
import torch

from tests.align.oracle import attention_spec, grouped_queries_spec, mlp_spec, problem_of
from weightspace.align.settle import settle


@pytest.mark.parametrize(
    "spec", [mlp_spec(), attention_spec(), grouped_queries_spec()], ids=["mlp", "heads", "grouped"]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_rises_until_nothing_gains(spec, seed: int) -> None:
    problem, _, _ = problem_of(spec, seed)
    start = spec.random_element(torch.Generator().manual_seed(seed))
    problem.move_to(start)
    before = problem.objective()
    sweeps = settle(problem, seed=seed)
    after = problem.objective()
    assert after >= before
    assert sweeps > 1
    assert settle(problem, seed=seed + 1) == 1
    assert problem.objective() == pytest.approx(after)


def test_other_groups_are_held() -> None:
    spec = mlp_spec()
    problem, _, _ = problem_of(spec, 0)
    start = spec.random_element(torch.Generator().manual_seed(1))
    problem.move_to(start)
    settle(problem, only=["b"])
    assert torch.equal(problem.element.perm("a"), start.perm("a"))
    assert not torch.equal(problem.element.perm("b"), start.perm("b"))
