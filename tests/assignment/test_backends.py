"""Every backend against scipy on the shapes and contents that break solvers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from tests.assignment.families import check_matching, independent, planted, trained
from weightspace.assignment import solve
from weightspace.assignment.backends import has_numba
from weightspace.errors import AlignmentError

needs_numba = pytest.mark.skipif(not has_numba(), reason="numba is not installed")
BACKENDS = [
    pytest.param("numba", marks=needs_numba),
    "scipy",
    pytest.param("auction", marks=needs_numba),
]
every_backend = pytest.mark.parametrize("backend", BACKENDS)

SHAPES = st.tuples(st.integers(0, 24), st.integers(0, 24))


def rectangles(values: st.SearchStrategy[float]) -> st.SearchStrategy[Tensor]:
    return SHAPES.flatmap(lambda shape: arrays("float32", shape, elements=values)).map(torch.from_numpy)


@every_backend
@given(rectangles(st.floats(-100, 100, width=32, allow_subnormal=False)))
def test_real_scores_of_any_shape(backend: str, scores: Tensor):
    check_matching(scores, solve(scores, backend=backend))


@every_backend
@given(rectangles(st.integers(-2, 2).map(float)))
def test_ties_dead_rows_and_dead_columns(backend: str, scores: Tensor):
    check_matching(scores, solve(scores, backend=backend))


@every_backend
@given(st.integers(1, 40), st.integers(1, 3), st.booleans(), st.integers(0, 2**31))
def test_low_rank_with_dead_units(backend: str, n: int, rank: int, dead: bool, seed: int):
    a, b = independent(n, rank, seed), independent(n, rank, seed + 1)
    if dead:
        a[::3] = 0
        b[1::4] = 0
    scores = a @ b.T
    check_matching(scores, solve(scores, backend=backend))


DEGENERATE = {
    "zeros": torch.zeros(60, 60),
    "zeros, wide": torch.zeros(20, 60),
    "zeros, tall": torch.zeros(60, 20),
    "identical rows": independent(1, 60).expand(60, 60),
    "identical columns": independent(60, 1).expand(60, 60),
    "rank one": independent(60, 1) @ independent(1, 60),
    "integers": independent(60, 60).mul(3).round(),
    "offset 1e6": independent(60, 60) + 1e6,
    "offset 1e6, float64": independent(60, 60).double() + 1e6,
    "one live row": torch.cat([independent(1, 60), torch.zeros(59, 60)]),
    "one live column": torch.cat([independent(60, 1), torch.zeros(60, 59)], 1),
    "all negative": -independent(60, 60).abs(),
    "tiny": independent(60, 60) * 1e-30,
    "huge": independent(60, 60) * 1e30,
    "huge, large": independent(300, 300) * 5e37,
    "far from each other": torch.diag(torch.full((60,), 1e30)) + independent(60, 60),
}


@every_backend
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_scores(backend: str, name: str):
    check_matching(DEGENERATE[name], solve(DEGENERATE[name], backend=backend))


@every_backend
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 4), (4, 1)])
def test_none_or_one(backend: str, shape: tuple[int, int]):
    scores = -torch.arange(1.0, shape[0] * shape[1] + 1).reshape(shape)
    check_matching(scores, solve(scores, backend=backend))


@every_backend
@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_scores_are_taken_as_they_are(backend: str, kind: torch.dtype):
    scores = (independent(30, 30) * 100).to(kind)
    check_matching(scores.double(), solve(scores, backend=backend))


@every_backend
@pytest.mark.parametrize("scores", [independent(40, 40), independent(30, 40), independent(40, 30)])
def test_scores_may_lie_anywhere_in_memory(backend: str, scores: Tensor):
    check_matching(scores.T, solve(scores.T, backend=backend))
    check_matching(scores[::2, 1::2], solve(scores[::2, 1::2], backend=backend))


@every_backend
@given(st.lists(st.integers(0, 3), min_size=1, max_size=2), SHAPES, st.integers(0, 2**31))
def test_a_batch_is_as_good_as_its_matrices(backend: str, batch: list[int], shape: tuple[int, int], seed: int):
    scores = torch.randn(*batch, *shape, generator=torch.Generator().manual_seed(seed))
    together = solve(scores, backend=backend)
    assert together.columns.shape == (*batch, shape[0])
    assert together.prices.shape == (*batch, shape[1])
    assert together.value.shape == together.gap.shape == tuple(batch)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in batch)).reshape(-1, len(batch)).tolist():
        alone = solve(scores[tuple(place)], backend=backend)
        assert torch.equal(together.columns[tuple(place)], alone.columns)
        assert torch.equal(together.value[tuple(place)], alone.value)


@every_backend
@pytest.mark.parametrize("n", [513, 700])
@pytest.mark.parametrize("family", ["independent", "planted", "trained"])
def test_sizes_at_which_an_auction_starts(backend: str, n: int, family: str):
    scores = {"independent": independent(n, n), "planted": planted(n, 2.0), "trained": trained(n)}[family]
    check_matching(scores, solve(scores, backend=backend))


@every_backend
def test_doubles_whose_sums_overflow_are_refused(backend: str):
    with pytest.raises(AlignmentError, match="NaN or infinity"):
        solve(torch.full((3, 3), -1e305, dtype=torch.float64), backend=backend)


@every_backend
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 5), (2, 5, 3)])
def test_scores_that_are_not_finite_are_refused(backend: str, bad: float, shape: tuple[int, ...]):
    scores = torch.zeros(shape)
    scores[1, 2, 1] = bad
    with pytest.raises(AlignmentError, match="NaN or infinity"):
        solve(scores, backend=backend)


@every_backend
def test_scores_need_no_gradient_and_are_not_changed(backend: str):
    scores = torch.randn(5, 4, requires_grad=True)
    before = scores.detach().clone()
    solve(scores, backend=backend)
    assert torch.equal(scores.detach(), before)


def test_a_backend_that_does_not_exist_is_refused():
    with pytest.raises(AlignmentError, match="no backend 'lapjv'"):
        solve(torch.zeros(2, 2), backend="lapjv")


def test_scores_that_are_no_matrices_are_refused():
    with pytest.raises(AlignmentError, match=r"score matrices, found shape \(3,\)"):
        solve(torch.zeros(3))
