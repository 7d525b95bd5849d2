"""The certificate bounds every assignment, whatever the prices."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.assignment.families import independent
from weightspace.assignment import assigned_score, certificate, solve
from weightspace.errors import AlignmentError

SMALL = st.integers(1, 4)


def every_assignment(n: int, m: int) -> list[Tensor]:
    if n <= m:
        return [torch.tensor(chosen) for chosen in itertools.permutations(range(m), n)]
    found = []
    for rows in itertools.permutations(range(n), m):
        columns = torch.full((n,), -1)
        columns[list(rows)] = torch.arange(m)
        found.append(columns)
    return found


@given(SMALL, SMALL, st.floats(-3, 3), st.integers(0, 2**31))
def test_no_assignment_beats_the_value_by_more_than_the_gap(n: int, m: int, offset: float, seed: int):
    scores, prices = independent(n, m, seed), independent(1, m, seed + 1)[0] + offset
    values = {columns: float(assigned_score(scores, columns)) for columns in every_assignment(n, m)}
    best = max(values.values())
    for columns, value in values.items():
        gap = float(certificate(scores, columns, prices))
        assert gap >= 0
        assert best <= value + gap + 1e-5


@given(SMALL, SMALL, st.integers(0, 2**31))
def test_the_gap_of_the_optimum_with_its_prices_is_zero(n: int, m: int, seed: int):
    scores = independent(n, m, seed)
    found = solve(scores)
    assert float(certificate(scores, found.columns, found.prices)) == pytest.approx(0, abs=1e-12)


def test_batches_and_blocks_of_rows(monkeypatch: pytest.MonkeyPatch):
    scores, prices = torch.randn(2, 3, 7, 5), torch.randn(2, 3, 5)
    columns = solve(scores).columns
    whole = certificate(scores, columns, prices)
    monkeypatch.setattr("weightspace.assignment.duality.BLOCK", 1)
    assert torch.equal(certificate(scores, columns, prices), whole)
    assert torch.equal(certificate(scores[1, 2], columns[1, 2], prices[1, 2]), whole[1, 2])


def test_large_offsets_cancel_before_they_are_summed():
    scores = independent(200, 200).double()
    found = solve(scores)
    moved = certificate(scores + 1e6, found.columns, found.prices)
    assert float(moved) == pytest.approx(0, abs=1e-7)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AlignmentError, match=r"need columns \(3,\) and prices \(4,\), found \(3,\) and \(3,\)"):
        certificate(torch.zeros(3, 4), torch.arange(3), torch.zeros(3))
