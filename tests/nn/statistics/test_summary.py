"""Statistics of networks of any architecture."""

from __future__ import annotations

import math

import pytest
import torch

from tests.nn import small
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.statistics import summary_statistics, weight_statistics
from weightspace.nn.statistics.summary import COLUMNS

MAKERS = [networks.mlp, networks.attention, small.cnn, small.siren]


def test_networks_of_all_architectures_give_one_table() -> None:
    specs = [small.program_of(make)[1] for make in MAKERS]
    states = [{name: each[0] for name, each in small.random_networks(spec, 1).items()} for spec in specs]
    found = summary_statistics(states)
    assert found.columns == COLUMNS
    assert found.values.shape == (4, 94)
    assert bool(found.values.isfinite().all())
    copies = [
        spec.apply(spec.random_element(torch.Generator().manual_seed(0)), state)
        for spec, state in zip(specs, states, strict=True)
    ]
    assert small.close(summary_statistics(copies).values, found.values, 1e-12)
    alone = torch.cat([summary_statistics([state]).values for state in states])
    assert torch.equal(alone, found.values)


def test_aggregates_are_those_of_the_tensors() -> None:
    _, spec = small.program_of(networks.mlp)
    batch = small.random_networks(spec, 1)
    each = weight_statistics(batch)
    by_name = dict(zip(each.columns, each.values[0].tolist(), strict=True))
    found = summary_statistics([{name: tensor[0] for name, tensor in batch.items()}])
    summary = dict(zip(found.columns, found.values[0].tolist(), strict=True))
    medians = [by_name[f"{layer}.weight.q50"] for layer in (0, 2, 4)]
    assert summary["weights.tensors"] == 3
    assert summary["weights.log_elements"] == pytest.approx(math.log(1 + 30 + 20 + 12))
    assert summary["weights.first.q50"] == pytest.approx(medians[0])
    assert summary["weights.last.q50"] == pytest.approx(medians[2])
    assert summary["weights.mean.q50"] == pytest.approx(sum(medians) / 3)
    assert summary["weights.min.q50"] == pytest.approx(min(medians))
    assert summary["weights.max.q50"] == pytest.approx(max(medians))
    assert summary["vectors.last.norm2"] == pytest.approx(by_name["4.bias.norm2"])


def test_a_network_without_biases_has_zeros_there() -> None:
    found = summary_statistics([{"w": torch.randn(2, 2), "count": torch.tensor(3)}])
    assert float(found.values[0, 47:].abs().sum()) == 0.0
    assert float(found.values[0, 0]) == 1.0


def test_nothing_to_describe_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one network"):
        summary_statistics([])
    with pytest.raises(SpecError, match="network 1: expected floating tensors"):
        summary_statistics([{"w": torch.zeros(1)}, {"n": torch.tensor(3)}])
