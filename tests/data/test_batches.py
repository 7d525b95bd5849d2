"""Cutting a split into batches, and normalising them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.data import Normalization, Split
from weightspace.errors import DataError


def numbered(size):
    """Examples whose input is their position."""
    return Split.from_arrays(np.arange(size, dtype=np.float64)[:, None], np.arange(size))


@given(
    st.integers(1, 60), st.integers(1, 70), st.one_of(st.none(), st.integers(1, 80)), st.one_of(st.none(), st.just(3))
)
def test_batches_partition_the_chosen_examples_evenly(size, batch_size, samples, seed):
    split = numbered(size)
    batches = list(split.batches(batch_size, samples=samples, shuffle_seed=seed))
    sizes = [len(batch.x) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    visited = torch.cat([batch.y for batch in batches]).tolist()
    assert visited == split.order(samples=samples, shuffle_seed=seed).tolist()
    assert len(visited) == len(set(visited)) == min(size, samples or size)
    assert torch.cat([batch.x for batch in batches]).squeeze(1).tolist() == visited


def test_the_seed_decides_the_order():
    split = numbered(50)
    orders = [split.order(shuffle_seed=seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert split.order().tolist() == list(range(50))
    assert split.order(samples=5, shuffle_seed=0).tolist() == orders[0][:5]


def test_the_dtype_is_that_asked_for():
    split = Split.from_arrays(np.full((2, 3, 3, 1), 51, np.uint8))
    (batch,) = split.batches(2, dtype=torch.float64)
    assert batch.x.dtype == torch.float64
    assert batch.x.unique().tolist() == [0.2]
    assert batch.y is None


@pytest.mark.parametrize(("batch_size", "samples"), [(0, None), (4, 0), (-1, 3)])
def test_sizes_must_be_positive(batch_size, samples):
    with pytest.raises(DataError, match="expected a positive batch size and sample count"):
        list(numbered(3).batches(batch_size, samples=samples))


def test_normalisation_per_channel_after_scaling():
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    (batch,) = Split.from_arrays(images).batches(4, normalization=Normalization(mean, std), dtype=torch.float64)
    expected = (images / 255 - mean) / std
    np.testing.assert_allclose(batch.x.permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=1e-15)


def test_one_number_normalises_every_channel():
    x = torch.ones(2, 3, 4, 4)
    assert torch.equal(Normalization((0.5,), (0.25,))(x), torch.full_like(x, 2))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), (1.0,), "found 2 and 1"),
        ((), (), "found 0 and 0"),
        ((0.5,), (0.0,), "positive standard deviations"),
        ((float("nan"),), (1.0,), "finite means"),
    ],
)
def test_impossible_normalisations(mean, std, message):
    with pytest.raises(DataError, match=message):
        Normalization(mean, std)


def test_normalisation_of_other_channels_is_refused():
    with pytest.raises(DataError, match=r"with C = 3 channels, found the shape \(2, 1, 4, 4\)"):
        Normalization((0.5,) * 3, (0.5,) * 3)(torch.ones(2, 1, 4, 4))


def test_token_ids_are_not_normalised():
    split = Split.from_arrays(np.zeros((2, 5), np.int64))
    with pytest.raises(DataError, match=r"found torch\.int64 ids; leave mean and std out"):
        list(split.batches(2, normalization=Normalization((0.5,), (0.5,))))
