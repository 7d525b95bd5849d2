"""A model read as if it had the merged vocabulary: its rows in the new order, those of others where it has none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightspace.checkpoint import TensorInfo
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.vocabulary.rows import MEAN, PADDING, Rows

_GAP = 4  # rows that are not needed are read between two that are, if there are no more
_BLOCK = 2**18  # elements


class Renumbered:
    """A model whose embeddings have other rows; only those that a piece holds are read."""

    def __init__(self, models: Sequence[Model], at: int, rows: Rows, embeddings: Sequence[str]) -> None:
        """Wraps a model.

        Args:
            models: Every model, in the order of `rows`.
            at: Which of them it is.
            rows: Where rows come from.
            embeddings: Names of the tensors that have a row for every token.
        """
        self._models, self._model, self._embeddings = models, models[at], frozenset(embeddings)
        self._own, self._donor, self._row = rows.own, rows.donor[at], rows.row[at]
        self._means: dict[str, Tensor] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return iter(self._model)

    def __contains__(self, name: object, /) -> bool:
        return name in self._model

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a tensor."""
        info = self._model.info(name)
        return replace(info, shape=(len(self._donor), *info.shape[1:])) if name in self._embeddings else info

    def aliases(self) -> dict[str, str]:
        """Tied names: each further name of a tensor -> its first name."""
        return self._model.aliases()

    def piece(self, name: str, start: int, stop: int) -> Tensor:
        """Some elements of a flattened tensor; of embeddings in float32, or in float64 where they are stored so."""
        if name not in self._embeddings:
            return self._model.piece(name, start, stop)
        width = _width(self.info(name))
        first, last = start // width, -(-stop // width)
        padding = self._donor[first:last] == PADDING
        rows = self._rows(name, np.arange(first, last)[~padding])
        if padding.any():
            found = rows.new_empty(last - first, width)
            found[torch.from_numpy(~padding)] = rows
            found[torch.from_numpy(padding)] = self._mean(name).to(rows.dtype)
            rows = found
        return rows.reshape(-1)[start - first * width : stop - first * width]

    def _rows(self, name: str, numbers: NDArray[np.int64]) -> Tensor:
        """Rows that are no padding (rows, width)."""
        info = self.info(name)
        dtype = torch.float64 if info.dtype == torch.float64 else torch.float32
        found = torch.zeros(len(numbers), _width(info), dtype=dtype)
        donor, row = self._donor[numbers], self._row[numbers]
        for at in np.unique(donor[donor >= 0]):
            taken = donor == at
            found[torch.from_numpy(taken)] = _gathered(self._models[at], name, row[taken], dtype)
        mean = donor == MEAN
        if mean.any():
            own = self._own[:, numbers[mean]]
            total = torch.zeros(int(mean.sum()), found.shape[1], dtype=dtype)
            for model, known in zip(self._models, own, strict=True):
                if (known >= 0).any():
                    total[torch.from_numpy(known >= 0)] += _gathered(model, name, known[known >= 0], dtype)
            found[torch.from_numpy(mean)] = total / torch.from_numpy((own >= 0).sum(0)).to(dtype)[:, None]
        return found

    def _mean(self, name: str) -> Tensor:
        """The mean of all rows that are no padding (width)."""
        with self._lock:
            if name not in self._means:
                width = _width(self.info(name))
                numbers = np.flatnonzero(self._donor != PADDING)
                step = max(1, _BLOCK // width)
                total = torch.zeros(width, dtype=torch.float64)
                for start in range(0, len(numbers), step):
                    total += self._rows(name, numbers[start : start + step]).sum(0, dtype=torch.float64)
                self._means[name] = total / len(numbers)
            return self._means[name]


def shared(models: Mapping[str, Model], rows: Rows, embeddings: Sequence[str]) -> dict[str, Renumbered]:
    """Every model as if it had the merged vocabulary."""
    listed = [models[name] for name in rows.models]
    return {name: Renumbered(listed, at, rows, embeddings) for at, name in enumerate(rows.models)}


def _gathered(model: Model, name: str, rows: NDArray[np.int64], dtype: torch.dtype) -> Tensor:
    """Some rows of a tensor, in any order (rows, width); rows near each other are read at once."""
    width = _width(model.info(name))
    order = np.argsort(rows, kind="stable")
    found = torch.empty(len(rows), width, dtype=dtype)
    for run in np.split(order, np.flatnonzero(np.diff(rows[order]) > _GAP) + 1):
        first, last = int(rows[run[0]]), int(rows[run[-1]])
        read = model.piece(name, first * width, (last + 1) * width).reshape(-1, width)
        found[torch.from_numpy(run)] = read[torch.from_numpy(rows[run] - first)].to(dtype)
    return found


def _width(info: TensorInfo) -> int:
    """Elements of a row."""
    count = 1
    for extent in info.shape[1:]:
        count *= extent
    return count
