"""The straight line between two networks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.errors import CheckpointMismatchError
from weightspace.merge import interpolate, merge_interpolate


def weights(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {
        "fc.weight": torch.randn(5, 4, generator=generator).to(dtype),
        "fc.bias": torch.randn(5, generator=generator).to(dtype) * 1e-3,
        "steps": torch.tensor(seed),
    }


@given(st.floats(0, 1))
def test_between_equal_networks_nothing_moves(t):
    a = weights(0)
    assert all(torch.equal(value, a[name]) for name, value in interpolate(a, weights(0), t).items())


def test_the_ends_are_exact():
    a, b = weights(0), weights(1)
    for t, end in ((0, a), (0.0, a), (1, b), (1.0, b)):
        point = interpolate(a, b, t)
        assert torch.equal(point["fc.weight"], end["fc.weight"])
        assert torch.equal(point["fc.bias"], end["fc.bias"])


@given(st.floats(0, 1))
def test_the_line_is_straight(t):
    a, b = weights(0, torch.float64), weights(1, torch.float64)
    point = interpolate(a, b, t)
    for name in ("fc.weight", "fc.bias"):
        torch.testing.assert_close(point[name], (1 - t) * a[name] + t * b[name], rtol=1e-14, atol=1e-15)


def test_what_is_not_floating_comes_from_the_first():
    assert interpolate(weights(0), weights(1), 0.5)["steps"].item() == 0
    assert interpolate(weights(0), weights(1), 1)["steps"].item() == 0


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_evaluation_is_wide_and_merges_keep_the_dtype(dtype, wide):
    a, b = weights(0, dtype), weights(1, dtype)
    for t in (0, 0.3, 1):
        point, merged = interpolate(a, b, t), merge_interpolate(a, b, t)
        assert point["fc.weight"].dtype == wide
        assert merged["fc.weight"].dtype == dtype
        assert torch.equal(merged["fc.weight"], point["fc.weight"].to(dtype))


def test_the_default_is_the_average():
    a, b = weights(0), weights(1)
    torch.testing.assert_close(merge_interpolate(a, b)["fc.weight"], (a["fc.weight"] + b["fc.weight"]) / 2)


@pytest.mark.parametrize("merge", [lambda a, b: interpolate(a, b, 0.5), merge_interpolate])
def test_networks_that_differ_are_refused(merge):
    a, b = weights(0), weights(1)
    with pytest.raises(CheckpointMismatchError, match=r"fc\.bias: expected in both networks, found only in the first"):
        merge(a, {name: tensor for name, tensor in b.items() if name != "fc.bias"})
    with pytest.raises(CheckpointMismatchError, match="head: expected in both networks, found only in the second"):
        merge(a, b | {"head": torch.ones(1)})
    with pytest.raises(CheckpointMismatchError, match=r"found \(5, 4\) and \(4, 5\)"):
        merge(a, b | {"fc.weight": b["fc.weight"].T})
