"""The auction's own parts: dead rows, blocks, shortlists that grow, the device; test_backends has what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tests.assignment.families import check_matching, independent, planted, trained
from weightspace.assignment import solve
from weightspace.assignment.auction.prices import auction_prices
from weightspace.assignment.backends import choose, has_numba

pytestmark = pytest.mark.skipif(not has_numba(), reason="numba is not installed")


def test_rows_of_zeros_get_no_column_and_columns_are_given_once():
    scores = torch.stack([trained(100), planted(100, 1.0)])
    prices, columns = auction_prices(scores)
    assert prices.shape == columns.shape == (2, 100)
    assert bool((columns[(scores == 0).all(2)] == -1).all())
    for row in columns:
        taken = row[row >= 0]
        assert len(taken.unique()) == len(taken)
    assert int((columns >= 0).sum()) >= 0.9 * int((scores != 0).any(2).sum())


def test_the_same_seed_gives_the_same_prices():
    scores = independent(50, 50)[None]
    assert torch.equal(auction_prices(scores)[0], auction_prices(scores)[0])


@pytest.mark.parametrize("scores", [trained(90), independent(60, 90), independent(90, 60)])
def test_small_blocks_and_short_lists_end_at_the_optimum(monkeypatch: pytest.MonkeyPatch, scores: torch.Tensor):
    monkeypatch.setattr("weightspace.assignment.auction.prices.BLOCK", 500)
    monkeypatch.setattr("weightspace.assignment.auction.solve.BLOCK", 500)
    monkeypatch.setattr("weightspace.assignment.auction.solve.SHORTLIST", 2)
    monkeypatch.setattr("weightspace.assignment.auction.solve.MORE", 1)
    check_matching(scores, solve(scores, backend="auction"))


def test_an_auction_that_is_cut_off_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("weightspace.assignment.auction.solve.ROUNDS", 1)
    monkeypatch.setattr("weightspace.assignment.auction.solve.SHORTLIST", 1)
    monkeypatch.setattr("weightspace.assignment.auction.prices.STEPS", (0.2,))
    scores = independent(150, 150)
    found, best = solve(scores, backend="auction"), solve(scores, backend="scipy")
    assert float(found.value) < float(best.value)
    assert float(found.value + found.gap) >= float(best.value) - 1e-6


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-1, 1), st.integers(0, 2**31))
def test_the_exact_finish_against_scipy(m: int, width: int, integers: int, seed: int):
    """Any prices and columns to start from; columns that a row does not know cost more than all others together."""
    from weightspace.assignment.compiled.entry import finish

    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(m, m)) if integers else rng.integers(-1, 2, (m, m)).astype(float)
    index = np.hstack([rng.permutation(m)[:, None], rng.integers(0, m, (m, width))]).astype(np.int32)
    value = np.take_along_axis(scores, index.astype(np.int64), 1)
    column = np.where(rng.random(m) < 0.5, rng.permutation(m), -1)
    finish(index, value, rng.normal(size=m), column)
    known = np.full((m, m), -1e6)
    np.put_along_axis(known, index.astype(np.int64), value, 1)
    best = known[linear_sum_assignment(known, maximize=True)].sum()
    assert sorted(column) == list(range(m))
    assert known[np.arange(m), column].sum() == pytest.approx(best, abs=1e-9)


def test_scores_stay_on_a_gpu_where_there_is_one():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scores = torch.stack([trained(2048), independent(2048, 2048)])
    assert choose("auto", scores.cuda()) == "auction"
    found = solve(scores.cuda())
    for number, matrix in enumerate(scores):
        check_matching(matrix, type(found)(*(getattr(found, name)[number] for name in found.__slots__)))


def test_scores_on_the_cpu_go_to_the_compiled_solver():
    assert choose("auto", torch.zeros(4096, 4096)) == "numba"
