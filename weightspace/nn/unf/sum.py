"""A sum of repeated tensors, diagonals and matrix products in one new tensor, with nothing of its size in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from weightspace.nn.unf.diagonal import Pairs, diagonal


class _Sum(torch.autograd.Function):
    """Autograd itself would keep or copy the whole sum at every addition in place to one of its views."""

    @staticmethod
    @override
    def forward(held: Tensor, diagonals: Sequence[Pairs], *terms: Tensor) -> Tensor:
        total = _with_diagonals(held, diagonals, terms)
        for place in range(len(diagonals), len(terms), 2):
            total.view(-1, total.shape[-1]).addmm_(terms[place], terms[place + 1])
        return total

    @staticmethod
    @override
    def vmap(
        info: Any, in_dims: tuple[Any, ...], held: Tensor, diagonals: Sequence[Pairs], *terms: Tensor
    ) -> tuple[Tensor, int]:
        def plain(held: Tensor, *terms: Tensor) -> Tensor:
            return _plain(held, diagonals, terms)

        return torch.vmap(plain, in_dims=(in_dims[0], *in_dims[2:]))(held, *terms), 0

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.diagonals, terms = inputs[1], inputs[2:]
        count = len(ctx.diagonals)
        ctx.shapes = [values.shape for values in terms[:count]]
        ctx.save_for_backward(*terms[count:])

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        found: list[Tensor] = []
        for pairs, shape in zip(ctx.diagonals, ctx.shapes, strict=True):
            found.append(diagonal(gradient, pairs).sum_to_size(shape))
        flat = gradient.reshape(-1, gradient.shape[-1])
        factors = ctx.saved_tensors
        for place in range(0, len(factors), 2):
            found += [flat @ factors[place + 1].T, factors[place].T @ flat]
        return gradient, None, *found


def summed(held: Tensor, added: Sequence[tuple[Pairs, Tensor]], products: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """A new tensor (networks, *sizes, channels).

    Args:
        held: What to start from, (networks, *sizes, channels).
        added: For diagonals what is added to them, first to the tensor itself: (networks, *sizes of the parts,
            channels), or 1 for the size of a part to repeat it along.
        products: Rows (networks * all sizes, n) and a matrix (n, channels), whose product is added.
    """
    diagonals = [pairs for pairs, _ in added]
    terms = [*[values for _, values in added], *[factor for product in products for factor in product]]
    if torch.is_autocast_enabled(held.device.type):  # which lowers the precision of no product in place
        return _plain(held, diagonals, terms)
    return _Sum.apply(held, diagonals, *terms)


def _with_diagonals(held: Tensor, diagonals: Sequence[Pairs], terms: Sequence[Tensor]) -> Tensor:
    whole = len(diagonals) > 0 and not diagonals[0]
    total = (held + terms[0]).contiguous() if whole else held.clone(memory_format=torch.contiguous_format)
    for pairs, values in zip(diagonals[whole:], terms[whole : len(diagonals)], strict=True):
        diagonal(total, pairs).add_(values)
    return total


def _plain(held: Tensor, diagonals: Sequence[Pairs], terms: Sequence[Tensor]) -> Tensor:
    """The same with products of their own, for autocast and vmap."""
    total = _with_diagonals(held, diagonals, terms)
    for place in range(len(diagonals), len(terms), 2):
        total = total + (terms[place] @ terms[place + 1]).view_as(total)
    return total
