"""What goes into a layer and what ought to come out, summed up so that the best weights follow in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from weightspace.stats.patches import patches
from weightspace.stats.semidefinite import solved
from weightspace.symmetry.sites import Convolution, Site

_CHUNK = 1 << 22  # entries of a matrix of patches that are formed at a time


@dataclass(frozen=True)
class Fitted:
    """A layer in closed form.

    Attributes:
        weight: float64, of the shape of the parameter.
        bias: float64 (out,).
        mean: What the products with the weight are on the mean, without the bias, float64 (out,).
        variance: Their variance, likewise.
        residual: What is left of the targets: mean square of the difference over the variance of the targets.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    residual: float


class LinearMoments:
    """Second moments of the inputs of a layer, and of them with targets, streamed in float64.

    The inputs of a convolution are its patches, of which no more than some are formed at a time.

    Attributes:
        count: Samples so far: rows of a matrix, or positions of a convolution.
    """

    def __init__(self, site: Site, *, share: float = 1.0, seed: int = 0) -> None:
        """Begins a sum.

        Args:
            site: The layer.
            share: Share of the rows, or of the positions of a convolution, that count, chosen anew for every batch.
            seed: Seed of the choice.
        """
        self.count = 0
        self._site, self._share = site, share
        self._random = torch.Generator().manual_seed(seed)
        self._gram: Tensor | None = None  # (groups, d + 1, d + 1), the last row of which are ones
        self._cross: Tensor | None = None  # (groups, out, d + 1)
        self._square = self._sum = torch.zeros(())

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Adds samples.

        Args:
            inputs: What goes into the layer, any floating type: (rows, in), or (N, in, positions...).
            targets: What ought to come out, of the shape of what does.
        """
        for x, y in _rows(inputs, targets, self._site.convolution, self._choice(targets)):
            x = F.pad(x.double(), (0, 1), value=1.0)
            y = y.double()
            gram, cross = x.mT @ x, y.mT @ x
            self._gram = gram if self._gram is None else self._gram + gram
            self._cross = cross if self._cross is None else self._cross + cross
            self._square = self._square + y.square().sum(1)
            self._sum = self._sum + y.sum(1)
            self.count += x.shape[1]

    def _choice(self, targets: Tensor) -> Tensor | None:
        """Which rows or positions count, int64; None for all."""
        if self._share >= 1.0:
            return None
        count = len(targets) if self._site.convolution is None else targets[0, 0].numel()
        chosen = torch.randperm(count, generator=self._random)[: max(1, round(self._share * count))]
        return chosen.to(targets.device)

    def solve(self, start: Tensor, *, ridge: float, blocks: Sequence[tuple[Tensor, Tensor]] | None = None) -> Fitted:
        """The weights with the least squared error, drawn a little towards where they start.

        Minimises ``|W Z - Y|^2 + ridge * s |W - W0|^2`` with s the mean square of an input (PLeaS: Nasery et al. 2024,
        section 4.2, with a ridge in place of early stopping). The bias is free. Where the data say nothing (dead
        inputs, fewer samples than inputs) the weights stay what they were, also without a ridge.

        Args:
            start: Where the weights start, of the shape of the parameter.
            ridge: Weight of the start, relative to the mean square of the inputs.
            blocks: Which outputs may read which inputs, int64 indices of both, where not all read all: every output
                in one of them. Everything else is zero.

        Raises:
            ValueError: No samples were added.
        """
        if self._gram is None or self._cross is None:
            raise ValueError("no samples were added")
        groups, size = self._gram.shape[0], self._gram.shape[-1] - 1
        wide = start.double().mT if self._site.transposed else start.double()
        begin = F.pad(wide.reshape(groups, -1, size), (0, 1))
        scale = self._gram.diagonal(dim1=-2, dim2=-1)[:, :-1].mean(-1).clamp(min=torch.finfo(torch.float64).tiny)
        pull = F.pad((ridge * scale)[:, None].expand(-1, size), (0, 1))
        found = torch.zeros_like(begin)
        for made, read in self._indices(begin, blocks):
            gram = self._gram[:, read][:, :, read] + torch.diag_embed(pull[:, read])
            own = begin[:, made][:, :, read]
            right = self._cross[:, made][:, :, read] - own @ self._gram[:, read][:, :, read]
            found[:, made[:, None], read] = own + solved(gram, right.mT).mT
        weight, bias = found[..., :-1], found[..., -1]
        means = self._gram[:, -1, :-1] / self.count
        covariance = self._gram[:, :-1, :-1] / self.count - means.unsqueeze(-1) * means.unsqueeze(-2)
        left = self._square - 2 * (found * self._cross).sum(-1) + ((found @ self._gram) * found).sum(-1)
        spread = self._square - self._sum.square() / self.count
        shape = start.mT.shape if self._site.transposed else start.shape
        whole = weight.reshape(shape)
        return Fitted(
            whole.mT.contiguous() if self._site.transposed else whole,
            bias.flatten(),
            (weight @ means.unsqueeze(-1)).flatten(),
            ((weight @ covariance) * weight).sum(-1).flatten().clamp(min=0.0),
            float(left.sum().clamp(min=0.0) / spread.sum().clamp(min=torch.finfo(torch.float64).tiny)),
        )

    def _indices(self, begin: Tensor, blocks: Sequence[tuple[Tensor, Tensor]] | None) -> list[tuple[Tensor, Tensor]]:
        """Rows and columns of the matrix of a layer, with the column of its bias, for every block of it."""
        columns = torch.arange(begin.shape[2], device=begin.device)
        if blocks is None:
            return [(torch.arange(begin.shape[1], device=begin.device), columns)]
        taps = 1 if self._site.convolution is None else math.prod(self._site.convolution.kernel)
        return [
            (made.to(columns), torch.cat([columns[:-1].reshape(-1, taps)[read.to(columns)].flatten(), columns[-1:]]))
            for made, read in blocks
        ]


def _rows(
    inputs: Tensor, targets: Tensor, slides: Convolution | None, chosen: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets as (groups, rows, d) and (groups, rows, out), piece by piece."""
    if slides is None:
        if chosen is not None:
            inputs, targets = inputs[chosen], targets[chosen]
        rows = max(1, _CHUNK // inputs.shape[1])
        yield from ((x[None], y[None]) for x, y in zip(inputs.split(rows), targets.split(rows), strict=True))
        return
    targets = targets.flatten(2) if chosen is None else targets.flatten(2)[..., chosen]
    size = inputs[:1].numel() // max(1, math.prod(inputs.shape[2:])) * math.prod(slides.kernel)
    images = max(1, _CHUNK // max(1, size * targets.shape[2]))
    for x, y in zip(inputs.split(images), targets.split(images), strict=True):
        yield patches(x, slides, chosen), _by_group(y, slides.groups)


def _by_group(y: Tensor, groups: int) -> Tensor:
    """Outputs (N, out, positions) as (groups, N * positions, out / groups)."""
    return y.unflatten(1, (groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)
