"""Exact assignment against a search over all permutations."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from weightspace.assignment import assign, assigned_score
from weightspace.errors import AlignmentError

SIZES = st.integers(0, 6)
REALS = st.floats(-1e3, 1e3, allow_subnormal=False)


def matrices(values: st.SearchStrategy[float]) -> st.SearchStrategy[Tensor]:
    """One square matrix of up to 6 x 6."""
    return SIZES.flatmap(lambda n: arrays("float64", (n, n), elements=values)).map(torch.from_numpy)


def best_score(scores: Tensor) -> float:
    """The optimum over all permutations, summed in plain Python."""
    n = len(scores)
    rows = scores.double().tolist()
    return max(sum(rows[i][perm[i]] for i in range(n)) for perm in itertools.permutations(range(n)))


def check_optimal(scores: Tensor, *, tolerance: float = 0.0) -> None:
    columns = assign(scores)
    assert columns.dtype == torch.int64
    assert columns.device.type == "cpu"
    assert sorted(columns.tolist()) == list(range(len(scores)))
    best = best_score(scores)
    assert float(assigned_score(scores, columns)) == pytest.approx(best, abs=tolerance, rel=0)


@given(matrices(REALS))
def test_real_scores_reach_the_optimum(scores: Tensor):
    check_optimal(scores, tolerance=1e-9)


@given(matrices(st.integers(-2, 2).map(float)))
def test_ties_duplicates_and_zero_rows_reach_the_optimum(scores: Tensor):
    check_optimal(scores)


@given(matrices(st.integers(-1000, 1000).map(float)))
def test_integer_dtypes_and_half_precision_are_taken_as_they_are(scores: Tensor):
    check_optimal(scores.long())
    check_optimal(scores.to(torch.bfloat16))


@given(matrices(st.integers(-5, 5).map(float)), st.integers(0, 2**31))
def test_an_offset_of_every_row_changes_nothing(scores: Tensor, seed: int):
    offset = torch.randint(-(10**9), 10**9, (len(scores), 1), generator=torch.Generator().manual_seed(seed))
    check_optimal(scores + offset)
    assert assigned_score(scores, assign(scores + offset)) == assigned_score(scores, assign(scores))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=2), st.integers(0, 5), st.integers(0, 2**31))
def test_a_batch_is_solved_matrix_by_matrix(batch: list[int], n: int, seed: int):
    scores = torch.randn(*batch, n, n, generator=torch.Generator().manual_seed(seed))
    columns = assign(scores)
    assert columns.shape == (*batch, n)
    values = assigned_score(scores, columns)
    assert values.shape == tuple(batch)
    assert values.dtype == torch.float64
    for place in itertools.product(*map(range, batch)):
        assert torch.equal(columns[place], assign(scores[place]))
        assert float(values[place]) == pytest.approx(best_score(scores[place]), abs=1e-5)


def test_the_planted_permutation_of_a_gram_matrix_comes_back():
    generator = torch.Generator().manual_seed(0)
    x, perm = torch.randn(300, 40, generator=generator), torch.randperm(300, generator=generator)
    # Row i of the first factor is unit perm[i] of the second: that is the unit for slot i.
    assert torch.equal(assign(x[perm] @ x.T), perm)


def test_rank_one_scores_pair_the_sorted_orders():
    u, v = torch.tensor([3.0, -1.0, 2.0, 0.5]), torch.tensor([0.1, 4.0, -2.0, 1.0])
    columns = assign(u[:, None] * v)
    assert torch.equal(v[columns].argsort(), u.argsort())


def test_no_units_and_one_unit():
    assert assign(torch.empty(0, 0)).tolist() == []
    assert float(assigned_score(torch.empty(0, 0), torch.empty(0, dtype=torch.int64))) == 0.0
    assert assign(torch.tensor([[-7.0]])).tolist() == [0]
    assert assign(torch.empty(0, 3, 3)).shape == (0, 3)


def test_scores_that_are_all_zero_give_some_permutation():
    assert sorted(assign(torch.zeros(50, 50)).tolist()) == list(range(50))


def test_the_scores_need_no_gradient_and_are_not_changed():
    scores = torch.randn(4, 4, requires_grad=True)
    before = scores.detach().clone()
    assign(scores)
    assert torch.equal(scores.detach(), before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(bad: float):
    scores = torch.zeros(2, 3, 3)
    scores[1, 2, 0] = bad
    with pytest.raises(AlignmentError, match="NaN or infinity"):
        assign(scores)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 3, 2)])
def test_scores_that_are_not_square_are_refused(shape: tuple[int, ...]):
    with pytest.raises(AlignmentError, match=r"square score matrices, found shape \("):
        assign(torch.zeros(shape))
