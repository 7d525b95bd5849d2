"""Gradient boosting on statistics."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.nn import small
from tests.symmetry import networks
from weightspace.errors import DataError
from weightspace.nn.statistics import (
    Features,
    StatisticsClassifier,
    StatisticsRegressor,
    summary_statistics,
    weight_statistics,
)


def scaled_networks(count: int, seed: int) -> tuple[small.Tensors, torch.Tensor]:
    """Networks whose first layer is multiplied by a number, and that number."""
    _, spec = small.program_of(networks.mlp)
    batch = small.random_networks(spec, count, seed)
    factors = 0.5 + 2 * torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    batch["0.weight"] = batch["0.weight"] * factors[:, None, None]
    return batch, factors


def test_what_shows_in_the_statistics_is_predicted() -> None:
    pytest.importorskip("sklearn")
    train, factors = scaled_networks(240, 0)
    test, wanted = scaled_networks(100, 1)
    model = StatisticsRegressor().fit(weight_statistics(train), factors)
    predicted = model.predict(weight_statistics(test))
    assert predicted.dtype == torch.float64
    assert float((predicted - wanted).square().mean() / wanted.var()) < 0.3
    again = StatisticsRegressor().fit(weight_statistics(train), factors)
    assert torch.equal(again.predict(weight_statistics(test)), predicted)


def test_classes_of_networks_of_two_architectures_are_predicted() -> None:
    pytest.importorskip("sklearn")
    states, labels = [], []
    for label, make in enumerate((networks.mlp, small.siren)):
        _, spec = small.program_of(make)
        batch = small.random_networks(spec, 60)
        states += [{name: each[place] for name, each in batch.items()} for place in range(60)]
        labels += [label] * 60
    features = summary_statistics(states)
    shown, held_out = slice(None, None, 2), slice(1, None, 2)
    model = StatisticsClassifier().fit(Features(features.columns, features.values[shown]), labels[shown])
    others = Features(features.columns, features.values[held_out])
    assert model.predict(others).tolist() == labels[held_out]
    probabilities = model.probabilities(others)
    assert probabilities.shape == (60, 2)
    assert probabilities.argmax(1).tolist() == labels[held_out]


def test_what_does_not_fit_is_refused() -> None:
    pytest.importorskip("sklearn")
    features = Features(("a", "b"), torch.randn(30, 2))
    model = StatisticsRegressor()
    with pytest.raises(DataError, match="expected to be fitted"):
        model.predict(features)
    with pytest.raises(DataError, match=r"expected 30 as there are networks, found shape \(29,\)"):
        model.fit(features, torch.zeros(29))
    with pytest.raises(DataError, match="expected finite values"):
        model.fit(features, torch.full((30,), torch.nan))
    with pytest.raises(DataError, match="expected two classes"):
        StatisticsClassifier().fit(features, [1] * 30)
    model.fit(features, torch.randn(30))
    with pytest.raises(DataError, match="the 2 columns that were fitted, found c"):
        model.predict(Features(("a", "c"), torch.randn(3, 2)))
    with pytest.raises(DataError, match="another order or number"):
        model.predict(Features(("b", "a"), torch.randn(3, 2)))
    with pytest.raises(DataError, match=r"shape \(networks, 3\)"):
        Features(("a", "b", "c"), torch.randn(3, 2))


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(DataError, match=r"pip install 'weightspace\[zoo\]'"):
        StatisticsRegressor()
