"""Merges in the span of the tensors: weighted sums, whose weights follow from the tensors' inner products.

So a pass over the tensors measures their Gram matrix, a pure function makes coefficients of it, and a second pass adds
up. Everything about angles and norms is computed in float64, from sums in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightspace.merge.methods.apart import apart
from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measure, Measured
from weightspace.merge.methods.option import Settings

Along = Literal["tensor", "rows", "columns"]
Coefficients = Callable[[NDArray[np.float64], Settings], NDArray[np.float64]]


class Span:
    """How to merge by coefficients that are a function of inner products.

    Where there is a base the vectors are task vectors, and their sum is added to it, unless it is a vector itself.

    Args:
        coefficients: From Gram matrices (..., n, n), float64, of n vectors to the weights (..., n) of their sum.
        along: What counts as one vector: the whole tensor, or each of its rows or columns by itself. All but the
            first need a method that goes by rows. A tensor of one row has no columns: there it is the row.
        base_too: Whether the base is one of the vectors, the first.
    """

    def __init__(
        self, coefficients: Coefficients, *, along: Callable[[Settings], Along] | None = None, base_too: bool = False
    ) -> None:
        self._coefficients, self._base_too = coefficients, base_too
        self._along = along or (lambda _: "tensor")
        self.measures = (Measure(self._gram, self._joined, lambda settings: self._along(settings) != "rows"),)

    def combine(self, chunk: Chunk, settings: Settings, measured: Measured) -> Tensor:
        """The weighted sum of a chunk, see `MergeMethod.combine`."""
        vectors = self._vectors(chunk)
        along = self._along(settings)
        # Rows are whole in every chunk: theirs are measured here.
        weights = self._coefficients(_gram(vectors, "rows"), settings) if along == "rows" else measured[-1]
        merged = torch.zeros_like(vectors[0]) if self._base_too or chunk.base is None else chunk.base.clone()
        if weights.ndim == 1:
            for vector, weight in zip(vectors, weights, strict=True):
                merged.add_(vector, alpha=float(weight))
            return merged
        spread = torch.from_numpy(weights).to(merged.dtype).T.unsqueeze(-1 if along == "rows" else 1)
        for vector, weight in zip(vectors, spread, strict=True):
            merged.addcmul_(vector, weight)
        return merged

    def _vectors(self, chunk: Chunk) -> tuple[Tensor, ...]:
        if chunk.base is None:
            return chunk.tensors
        return (chunk.base, *chunk.tensors) if self._base_too else chunk.deltas

    def _gram(self, chunk: Chunk, settings: Settings, _: Measured) -> tuple[int, NDArray[np.float64]]:
        return len(chunk.tensors[0]), apart(_gram(self._vectors(chunk), self._along(settings)))

    def _joined(
        self, parts: Sequence[tuple[int, NDArray[np.float64]]], settings: Settings, _: Measured
    ) -> NDArray[np.float64]:
        gram = np.sum([part for _, part in parts], axis=0)
        if self._along(settings) == "columns" and sum(rows for rows, _ in parts) == 1:
            gram = gram.sum(0)
        return self._coefficients(gram, settings)


def _gram(vectors: Sequence[Tensor], along: Along) -> NDArray[np.float64]:
    """Inner products (n, n), or of every row or column (rows, n, n)."""
    if along == "tensor":
        flat = [vector.double().flatten() for vector in vectors]
        gram = np.empty((len(flat), len(flat)))
        for i, j in combinations_with_replacement(range(len(flat)), 2):
            gram[i, j] = gram[j, i] = torch.dot(flat[i], flat[j])
        return gram
    stacked = torch.stack(list(vectors)).double()
    rows = stacked.permute(1, 0, 2) if along == "rows" else stacked.permute(2, 0, 1)
    return (rows @ rows.mT).numpy()


def norms(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms (..., n) of the vectors of Gram matrices (..., n, n)."""
    return np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))


def cosines(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram matrices (..., n, n) of the unit vectors; those of length 0 stay."""
    lengths = norms(gram)
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.clip(gram * inverse[..., :, None] * inverse[..., None, :], -1.0, 1.0)
