"""How the inputs of a layer go together: their mean products with each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from weightspace.stats.patches import patches
from weightspace.symmetry.sites import Site

_CHUNK = 1 << 22  # entries of a matrix of patches that are formed at a time


class Gram:
    """The mean of x x^T over the inputs x of a layer, or the patches of a convolution, streamed in float64."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._count = 0
        self._sum: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Adds what went into the layer, any floating type: (rows, in), or (N, in, positions...)."""
        for rows in self._rows(inputs):
            rows = rows.double()
            products = rows.mT @ rows
            self._sum = products if self._sum is None else self._sum + products
            self._count += rows.shape[1]

    @property
    def matrix(self) -> Tensor:
        """The mean, float64 (groups, d, d), where d is in, or in / groups * kernel.

        Raises:
            ValueError: Nothing was added.
        """
        if self._sum is None:
            raise ValueError("no inputs were added")
        return self._sum / self._count

    def _rows(self, inputs: Tensor) -> Iterator[Tensor]:
        """Inputs as (groups, rows, d), piece by piece."""
        slides = self._site.convolution
        if slides is None:
            yield from (x[None] for x in inputs.split(max(1, _CHUNK // inputs.shape[1])))
            return
        images = max(1, _CHUNK // max(1, inputs[0].numel() * math.prod(slides.kernel)))
        yield from (patches(x, slides) for x in inputs.split(images))
