"""Pooled moments against those of everything at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.stats import ChannelMoments
from weightspace.stats import moments as moments_module


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([(), (3,), (2, 3)]), st.integers(0, 100))
def test_batches_pool_to_the_moments_of_their_union(sizes, trailing, seed):
    generator = torch.Generator().manual_seed(seed)
    batches = [
        torch.randn(n, 4, *trailing, generator=generator, dtype=torch.float64) + 10 * i for i, n in enumerate(sizes)
    ]
    moments = ChannelMoments()
    for batch in batches:
        moments.add(batch)
    everything = torch.cat(batches).transpose(0, 1).reshape(4, -1)
    torch.testing.assert_close(moments.mean, everything.mean(1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        moments.variance(unbiased=False), everything.var(1, correction=0), rtol=1e-12, atol=1e-12
    )
    if moments.count > 1:
        torch.testing.assert_close(moments.variance(unbiased=True), everything.var(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_large_mean_does_not_cancel(dtype):
    x = (torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) + 1000).to(dtype)
    moments = ChannelMoments()
    for batch in x.split(50):
        moments.add(batch)
    torch.testing.assert_close(moments.variance(unbiased=True), x.double().var(0), rtol=1e-10, atol=0)


def test_the_block_size_changes_nothing(monkeypatch):
    x = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(0))
    results = []
    for block in (1, 100, 10**9):
        monkeypatch.setattr(moments_module, "_BLOCK", block)
        moments = ChannelMoments()
        moments.add(x)
        results.append((moments.mean, moments.variance(unbiased=True)))
    for mean, variance in results[1:]:
        torch.testing.assert_close(mean, results[0][0], rtol=1e-13, atol=1e-15)
        torch.testing.assert_close(variance, results[0][1], rtol=1e-13, atol=0)


def test_the_batch_is_not_changed():
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    ChannelMoments().add(x)
    assert torch.equal(x, before)


def test_nothing_has_no_variance():
    with pytest.raises(ValueError, match="no batch was added"):
        ChannelMoments().variance(unbiased=True)
