"""Warm starts change the time, never the answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.assignment.families import check_matching, independent, trained
from tests.assignment.test_backends import every_backend
from weightspace.assignment import Matching, solve
from weightspace.errors import AlignmentError

CHANGE = st.sampled_from([0.0, 1e-3, 0.1, 1.0])


@every_backend
@given(st.integers(0, 30), st.integers(0, 30), CHANGE, st.integers(0, 2**31))
def test_a_warm_start_finds_the_optimum(backend: str, n: int, m: int, change: float, seed: int):
    before = independent(n, m, seed)
    after = before + change * independent(n, m, seed + 1)
    check_matching(after, solve(after, warm=solve(before, backend=backend), backend=backend))


@every_backend
@given(st.integers(1, 20), st.integers(0, 2**31))
def test_units_that_die_or_come_alive_in_between(backend: str, n: int, seed: int):
    before, after = independent(n, n, seed), independent(n, n, seed)
    before[::3] = 0
    after[1::3] = 0
    after[:, ::4] = 0
    check_matching(after, solve(after, warm=solve(before, backend=backend), backend=backend))


@every_backend
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_any_prices_and_columns_may_start(backend: str, n: int, m: int, seed: int):
    scores = independent(n, m, seed)
    wrong = Matching(
        torch.randint(-1, m, (n,), generator=torch.Generator().manual_seed(seed)),
        1e3 * independent(1, m, seed)[0].double(),
        torch.tensor(0.0),
        torch.tensor(0.0),
    )
    check_matching(scores, solve(scores, warm=wrong, backend=backend))


@every_backend
@pytest.mark.parametrize("change", [1e-3, 0.3])
def test_large_scores_start_warm(backend: str, change: float):
    before = trained(600)
    after = before + change * trained(600, seed=1)
    check_matching(after, solve(after, warm=solve(before, backend=backend), backend=backend))


@every_backend
def test_a_batch_starts_warm(backend: str):
    before = torch.stack([independent(20, 25, seed) for seed in range(3)])
    after = before + 0.1
    found = solve(after, warm=solve(before, backend=backend), backend=backend)
    assert torch.equal(found.columns, solve(after, backend=backend).columns)


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(AlignmentError, match="the warm start is of 3 x 3 scores, expected 4 x 4"):
        solve(torch.zeros(4, 4), warm=solve(torch.zeros(3, 3)))


@pytest.mark.parametrize(("column", "price"), [(4, 0.0), (-2, 0.0), (0, float("nan")), (0, float("inf"))])
def test_a_start_that_is_not_valid_is_refused(column: int, price: float):
    none = torch.tensor(0.0)
    wrong = Matching(torch.tensor([column, 1, 2]), torch.tensor([0.0, price, 0.0, 0.0]).double(), none, none)
    with pytest.raises(AlignmentError, match="a column beyond 3 or a price that is not finite"):
        solve(torch.zeros(3, 4), warm=wrong)
