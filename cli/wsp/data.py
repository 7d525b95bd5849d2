"""The data of a command: opened, normalised as the network wants it, cut into batches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError
from wsp.console import Console

if TYPE_CHECKING:
    from weightspace.data import Batch, Dataset, Normalization, Split
    from weightspace.source import Source

_SMALLEST_BATCH = 16
_LARGEST_BATCH = 1000
_LEARNED = 100
# Numbers in a batch of inputs. Small batches keep activations in cache and below the size at which every allocation
# goes to the kernel: half the time on a ResNet-20. Moments of batch norms want larger ones, as in training.
_NUMBERS_EVALUATED = 1 << 19
_NUMBERS_MEASURED = 1 << 21


@dataclass(frozen=True)
class CommandData:
    """What `--data`, `--mean` and `--std` say.

    Attributes:
        dataset: The opened data.
        normalization: What is done to inputs in [0, 1]; None for nothing.
        seed: Seed of the choice and order of examples.
    """

    dataset: Dataset
    normalization: Normalization | None
    seed: int

    def evaluation(self, samples: int | None = None) -> Iterable[Batch]:
        """Batches to measure loss and accuracy on: all examples, or a random choice of so many."""
        split = self.dataset.evaluation
        chosen = samples if samples is not None and samples < len(split) else None
        return split.batches(
            _batch_size(split, _NUMBERS_EVALUATED),
            normalization=self.normalization,
            samples=chosen,
            shuffle_seed=None if chosen is None else self.seed,
        )

    def statistics(self, samples: int) -> Iterable[Batch]:
        """Shuffled large batches to measure the statistics of batch norms on."""
        split = self.dataset.statistics
        return split.batches(
            _batch_size(split, _NUMBERS_MEASURED),
            normalization=self.normalization,
            samples=samples,
            shuffle_seed=self.seed,
        )

    def matching(self, samples: int) -> Iterable[Batch]:
        """Shuffled batches for methods of alignment that go by data."""
        split = self.dataset.statistics
        return split.batches(
            _batch_size(split, _NUMBERS_EVALUATED),
            normalization=self.normalization,
            samples=samples,
            shuffle_seed=self.seed,
        )

    def training(self, samples: int) -> Iterable[Batch]:
        """Shuffled small batches for merging methods that learn from data."""
        split = self.dataset.statistics
        return split.batches(_LEARNED, normalization=self.normalization, samples=samples, shuffle_seed=self.seed)

    def recipe(self) -> dict[str, Any]:
        """What a result depends on, as JSON values."""
        normalization = self.normalization
        return {
            "path": str(self.dataset.path),
            "evaluation": self.dataset.evaluation.name,
            "statistics": self.dataset.statistics.name,
            "mean": None if normalization is None else list(normalization.mean),
            "std": None if normalization is None else list(normalization.std),
        }


def command_data(
    path: Path | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    source: Source | None,
    console: Console,
    *,
    seed: int,
) -> CommandData | None:
    """Open what `--data` names, and decide how its inputs are normalised.

    Without `--mean` and `--std`, images of bytes are normalised as the model's own configuration asks; floating inputs
    are taken as they are.

    Raises:
        DataError: The data cannot be read, or `--mean` and `--std` do not fit each other.
    """
    from weightspace.data import Normalization, open_data

    if (mean is None) != (std is None):
        raise DataError("--mean and --std: expected both or neither, found one; give both")
    if path is None:
        if mean is not None:
            raise DataError("--mean and --std: expected --data beside them, found none; give --data or drop them")
        return None
    given = None if mean is None or std is None else Normalization(mean, std)
    dataset = open_data(path)
    if given is not None:
        return CommandData(dataset, given, seed)
    images = dataset.evaluation.x.dtype.kind == "u"
    own = source.normalization if source is not None and images else None
    if own is not None:
        console.note(f"inputs normalised as the model is configured: mean {_list(own.mean)}, std {_list(own.std)}")
    elif images:
        console.note("inputs scaled to [0, 1] and not normalised; pass --mean and --std if the network expects it")
    return CommandData(dataset, own, seed)


def _batch_size(split: Split, numbers: int) -> int:
    example = max(1, math.prod(split.x.shape[1:]))
    return max(_SMALLEST_BATCH, min(_LARGEST_BATCH, numbers // example))


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
