"""The k largest of a tensor against sorting it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.merge.methods.oracles import largest
from weightspace.merge.methods import Chunk, Measured, Settings, drawing
from weightspace.merge.methods.magnitude import Largest, thresholds

NOTHING = Settings({}, {})


def selected(scores: Tensor, ranks: list[int], chunk: int, order: int = 1) -> list[Tensor]:
    """By `Largest`; with `order` -1 the last chunks are measured and combined first."""
    selection = Largest(lambda piece, _: piece.tensors, lambda *_: tuple(ranks), lambda _: True)
    pieces = [Chunk((piece,), None, number, drawing(0, "")) for number, piece in enumerate(scores.split(chunk))]
    measured: Measured = ()
    for measure in selection.measures:
        parts = [measure.of(piece, NOTHING, measured) for piece in pieces[::order]]
        measured = (*measured, measure.join(parts[::order], NOTHING, measured))
    found = []
    for threshold in thresholds(measured, 0):
        masks = [threshold.selects(piece.tensors[0], piece.number) for piece in pieces[::order]]
        found.append(torch.cat(masks[::order]))
    return found


@st.composite
def cases(draw) -> tuple[Tensor, list[int], int]:
    size = draw(st.integers(1, 40))
    few = st.sampled_from([0.0, 1e-45, 1e-30, 0.1, 0.10000001, 1.0, 3e38, float("inf")])
    values = draw(st.sampled_from([few, st.floats(0, width=32, allow_nan=False)]))
    scores = torch.tensor(draw(st.lists(values, min_size=size, max_size=size)), dtype=torch.float32)
    ranks = draw(st.lists(st.integers(0, size), min_size=1, max_size=3))
    return scores, ranks, draw(st.integers(1, 45))


@given(cases())
def test_it_selects_what_comes_first_in_a_stable_sort(case) -> None:
    scores, ranks, chunk = case
    wanted = [largest(scores, rank) for rank in ranks]
    for order in (1, -1):
        found = selected(scores, ranks, chunk, order)
        assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))


@pytest.mark.parametrize("spread", [1e-6, 1.0])
def test_large_tensors_too(spread) -> None:
    scores = (1 + spread * torch.randn(100_000, generator=torch.Generator().manual_seed(0))).abs()
    for rank in (1, 777, 50_000, 99_999):
        (found,) = selected(scores, [rank], 4096)
        assert torch.equal(found, largest(scores, rank))


def test_scores_that_are_not_numbers_count_as_the_largest() -> None:
    scores = torch.tensor([1.0, float("nan"), float("inf"), 2.0]).abs()
    (found,) = selected(scores, [2], 3)
    assert found.tolist() == [False, True, True, False]


def test_float64_is_ranked_as_float32() -> None:
    scores = torch.tensor([1.0, 1.0 + 1e-12, 0.5], dtype=torch.float64)
    (found,) = selected(scores, [1], 3)
    assert found.tolist() == [True, False, False]
