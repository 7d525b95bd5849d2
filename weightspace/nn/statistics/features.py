"""Features of networks with a name for each."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from weightspace.errors import DataError


@dataclass(frozen=True, eq=False)
class Features:
    """A table with one row per network.

    Attributes:
        columns: Names of the features.
        values: (networks, features), floating.

    Raises:
        DataError: There are not as many columns as features.
    """

    columns: tuple[str, ...]
    values: Tensor

    def __post_init__(self) -> None:
        if self.values.dim() != 2 or self.values.shape[1] != len(self.columns):
            raise DataError(
                f"features: expected values of shape (networks, {len(self.columns)}) as there are columns, found "
                f"{tuple(self.values.shape)}; give one column name per feature"
            )

    def __len__(self) -> int:
        """Number of networks."""
        return len(self.values)
