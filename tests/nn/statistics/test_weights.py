"""Statistics of every tensor of networks of one architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nn import small
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.statistics import weight_statistics
from weightspace.nn.statistics.measures import MEASURES


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**31))
def test_what_is_measured_is_what_numpy_measures(elements: int, count: int, seed: int) -> None:
    x = torch.randn(count, elements, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = weight_statistics({"w": x})
    assert found.columns == tuple(f"w.{measure}" for measure in MEASURES)
    a = x.numpy()
    wanted = [a.mean(1), a.var(1), *(np.quantile(a, q, axis=1) for q in (0, 0.25, 0.5, 0.75, 1))]
    wanted += [np.abs(a).mean(1), np.linalg.norm(a, axis=1) / np.sqrt(elements)]
    assert np.allclose(found.values.numpy(), np.stack(wanted, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [networks.mlp, networks.attention, small.cnn, small.siren])
def test_permutations_do_not_count(make: small.Callable[[], networks.Network]) -> None:
    _, spec = small.program_of(make)
    batch = small.random_networks(spec, 4)
    copies = small.permuted(spec, batch)
    assert any(not torch.equal(copies[name], batch[name]) for name in batch)
    found = weight_statistics(batch)
    assert len(found) == 4
    assert len(found.columns) == len(set(found.columns)) == 9 * len(batch)
    assert small.close(weight_statistics(copies).values, found.values, 1e-12)
    alone = torch.cat([weight_statistics(small.one(batch, place)).values for place in range(4)])
    assert small.close(alone, found.values, 1e-12)


@settings(max_examples=20)
@given(small.mlps(), st.integers(0, 2**31))
def test_permutations_of_any_network_do_not_count(make: small.Callable[[], networks.Network], seed: int) -> None:
    _, spec = small.program_of(make)
    batch = small.random_networks(spec, 2, seed)
    copies = small.permuted(spec, batch, seed)
    assert small.close(weight_statistics(copies).values, weight_statistics(batch).values, 1e-12)


def test_what_is_no_weight_is_passed_over() -> None:
    tensors = {
        "counter": torch.zeros(3, dtype=torch.int64),
        "empty": torch.zeros(3, 0),
        "temperature": torch.tensor([1.0, 2.0, 3.0]),
        "zero": torch.zeros(3, 4, dtype=torch.bfloat16),
    }
    found = weight_statistics(tensors)
    assert {column.split(".")[0] for column in found.columns} == {"temperature", "zero"}
    assert found.values.dtype == torch.float32
    assert found.values[1].tolist() == [2.0, 0.0, *[2.0] * 7, *[0.0] * 9]


def test_bad_batches_are_refused() -> None:
    with pytest.raises(SpecError, match=r"'b': expected 3 networks .* found 2"):
        weight_statistics({"a": torch.zeros(3, 1), "b": torch.zeros(2, 1)})
    with pytest.raises(SpecError, match="at least one tensor"):
        weight_statistics({"a": torch.zeros(3, 1, dtype=torch.int64)})
