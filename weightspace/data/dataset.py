"""A data set: its splits, and which of them a measurement uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weightspace.data.split import Split


@dataclass(frozen=True)
class Dataset:
    """Splits by name; none of them is read before it is used.

    Attributes:
        path: Where the data are.
        splits: `train`, `test`, `val`, or `data` where the files do not say.
    """

    path: Path
    splits: Mapping[str, Split]

    @property
    def evaluation(self) -> Split:
        """The split that losses and accuracies are measured on: test, else val, else the only one."""
        for name in ("test", "val"):
            if name in self.splits:
                return self.splits[name]
        return next(iter(self.splits.values()))

    @property
    def statistics(self) -> Split:
        """The split that statistics of activations are measured on: train, else the one of the evaluation."""
        return self.splits.get("train", self.evaluation)
