"""The baseline that every metanetwork has to beat: gradient boosting on weight statistics (Unterthiner et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

import torch
from torch import Tensor

from weightspace.errors import DataError
from weightspace.nn.statistics.features import Features


class _Boosted:
    """Gradient-boosted trees of scikit-learn on named features; the same trees for the same seed.

    Args:
        seed: Seed of the trees.
    """

    _estimator: str

    def __init__(self, *, seed: int = 0) -> None:
        try:
            ensemble = import_module("sklearn.ensemble")
        except ImportError as error:
            raise DataError(
                "gradient boosting: scikit-learn is absent or cannot be imported: pip install 'weightspace[zoo]'"
            ) from error
        # Held-out stopping would take a part of what are often few networks.
        self._trees: Any = getattr(ensemble, self._estimator)(random_state=seed, early_stopping=False)
        self.columns: tuple[str, ...] | None = None

    def _fit(self, features: Features, targets: Tensor | Sequence[float] | Sequence[int]) -> Self:
        values = torch.as_tensor(targets)
        if values.dim() != 1 or len(values) != len(features):
            raise DataError(
                f"targets: expected {len(features)} as there are networks, found shape {tuple(values.shape)}; give one "
                "target per network"
            )
        if not bool(values.isfinite().all()):
            raise DataError("targets: expected finite values, found NaN or infinity; leave these networks out")
        self._trees.fit(_rows(features), values.detach().cpu().numpy())
        self.columns = features.columns
        return self

    def _known(self, features: Features) -> Any:
        if self.columns is None:
            raise DataError("gradient boosting: expected to be fitted before it predicts; call fit first")
        if features.columns != self.columns:
            found = next((name for name in features.columns if name not in self.columns), "another order or number")
            raise DataError(
                f"features: expected the {len(self.columns)} columns that were fitted, found {found}; measure the same "
                "statistics of the same tensors"
            )
        return _rows(features)


class StatisticsRegressor(_Boosted):
    """Predicts a number, such as the accuracy of a network, from its statistics.

    Args:
        seed: Seed of the trees.

    Raises:
        DataError: scikit-learn (extra `zoo`) is absent.
    """

    _estimator = "HistGradientBoostingRegressor"

    def fit(self, features: Features, targets: Tensor | Sequence[float]) -> Self:
        """Fits the trees.

        Args:
            features: Of the networks of the training split.
            targets: (networks,), finite.

        Raises:
            DataError: The targets do not fit the networks or are not finite.
        """
        return self._fit(features, targets)

    def predict(self, features: Features) -> Tensor:
        """Predictions (networks,), float64.

        Raises:
            DataError: Not fitted, or the features have other columns.
        """
        return torch.from_numpy(self._trees.predict(self._known(features)))


class StatisticsClassifier(_Boosted):
    """Predicts a class, such as the activation function of a network, from its statistics.

    Args:
        seed: Seed of the trees.

    Raises:
        DataError: scikit-learn (extra `zoo`) is absent.
    """

    _estimator = "HistGradientBoostingClassifier"

    def fit(self, features: Features, targets: Tensor | Sequence[int]) -> Self:
        """Fits the trees.

        Args:
            features: Of the networks of the training split.
            targets: Integer classes (networks,), at least two different ones.

        Raises:
            DataError: The targets do not fit the networks, or are all of one class.
        """
        if len(torch.as_tensor(targets).unique()) < 2:
            raise DataError("targets: expected two classes or more, found fewer; give networks of several classes")
        return self._fit(features, targets)

    def predict(self, features: Features) -> Tensor:
        """The likeliest class of every network, (networks,), int64.

        Raises:
            DataError: Not fitted, or the features have other columns.
        """
        return torch.from_numpy(self._trees.predict(self._known(features)))

    def probabilities(self, features: Features) -> Tensor:
        """Probabilities (networks, classes), float64, classes in ascending order.

        Raises:
            DataError: Not fitted, or the features have other columns.
        """
        return torch.from_numpy(self._trees.predict_proba(self._known(features)))


def _rows(features: Features) -> Any:
    return features.values.detach().cpu().double().numpy()
