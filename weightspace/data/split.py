"""One named part of a data set, cut into batches for a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from weightspace.data.examples import Examples, Inputs, checked
from weightspace.data.normalization import Normalization
from weightspace.errors import DataError

if TYPE_CHECKING:
    import torch


class Batch(NamedTuple):
    """Inputs of a network and their labels.

    Attributes:
        x: `(N, C, H, W)` for images, `(N, ...)` as stored otherwise.
        y: `(N,)` int64, or None where the split has no labels.
    """

    x: torch.Tensor
    y: torch.Tensor | None


class Split:
    """Examples that are read when they are first needed and converted to floats batch by batch.

    Args:
        name: `train`, `test`, `val` or `data`.
        path: Where the examples are.
        read: Reads them; called once.

    Attributes:
        name: As given.
        path: As given.
    """

    def __init__(self, name: str, path: Path, read: Callable[[], Examples]) -> None:
        self.name = name
        self.path = path
        self._read = read

    @classmethod
    def from_arrays(cls, x: np.ndarray, y: np.ndarray | None = None, *, name: str = "data") -> Split:
        """A split of arrays that are already in memory; the same shapes and dtypes as in a file."""
        path = Path(f"<{name}>")
        examples = checked(path, x, y)
        return cls(name, path, lambda: examples)

    @cached_property
    def _examples(self) -> Examples:
        return self._read()

    @property
    def x(self) -> Inputs:
        """Inputs as stored; images in a folder are decoded when indexed."""
        return self._examples.x

    @property
    def y(self) -> np.ndarray | None:
        """Labels `(N,)` int64, or None."""
        return self._examples.y

    def __len__(self) -> int:
        return self.x.shape[0]

    def batches(
        self,
        batch_size: int,
        *,
        normalization: Normalization | None = None,
        samples: int | None = None,
        shuffle_seed: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Iterator[Batch]:
        """Cut the split into batches of sizes that differ by at most one, so that no batch is a small remainder.

        uint8 becomes float in [0, 1]; images become channels first; floats and token ids are kept.

        Args:
            batch_size: Upper limit of a batch.
            normalization: Applied after the scaling to [0, 1].
            samples: At most this many examples: the first of the file, or of the shuffled order.
            shuffle_seed: Seed of the order; None keeps that of the file.
            dtype: Floating type of `x`; float32 by default.

        Yields:
            Batches in a fixed order: the same arguments give the same batches.

        Raises:
            DataError: The data cannot be read, hold NaN or infinity, or have other channels than `normalization`.
        """
        if batch_size < 1 or (samples is not None and samples < 1):
            raise DataError(
                f"batches: expected a positive batch size and sample count, found {batch_size} and {samples}"
            )
        order = self.order(samples=samples, shuffle_seed=shuffle_seed)
        for index in np.array_split(order, -(-len(order) // batch_size)):
            yield self._batch(index, normalization, dtype)

    def order(self, *, samples: int | None = None, shuffle_seed: int | None = None) -> np.ndarray:
        """Positions of the examples that `batches` visits, in order, int64."""
        size = len(self)
        order = np.arange(size) if shuffle_seed is None else np.random.default_rng(shuffle_seed).permutation(size)
        return order[:samples]

    def _batch(self, index: np.ndarray, normalization: Normalization | None, dtype: torch.dtype | None) -> Batch:
        import torch

        dtype = torch.float32 if dtype is None else dtype
        stored = self.x[index]
        # A file may hold the other byte order, which torch does not take.
        x = torch.from_numpy(np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("=")))
        if x.dtype == torch.uint8:
            x = x.to(dtype) / 255
            if x.ndim == 3:
                x = x.unsqueeze(1)
            elif x.ndim == 4:
                x = x.permute(0, 3, 1, 2).contiguous()
        elif x.is_floating_point():
            x = x.to(dtype)
            if not torch.isfinite(x).all():
                bad = int(index[int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0, 0])])
                raise DataError(
                    f"{self.path}: expected finite inputs, found NaN or infinity in x[{bad}]; drop that example"
                )
        else:
            x = x.long()
        if normalization is not None:
            x = normalization(x)
        return Batch(x, None if self.y is None else torch.from_numpy(self.y[index]))
