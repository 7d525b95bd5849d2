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

    generate_vmap_rule = True

    @staticmethod
    @override
    def forward(held: Tensor, diagonals: Sequence[Pairs], *terms: Tensor) -> Tensor:
        count = len(diagonals)
        total = held + terms[0] if diagonals and not diagonals[0] else held.clone(memory_format=torch.contiguous_format)
        for place in range(1 if diagonals and not diagonals[0] else 0, count):
            diagonal(total, diagonals[place]).add_(terms[place])
        for place in range(count, len(terms), 2):
            total.view(-1, total.shape[-1]).addmm_(terms[place], terms[place + 1])
        return total

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
    diagonals, values = [pairs for pairs, _ in added], [values for _, values in added]
    if torch.is_autocast_enabled(held.device.type):  # which lowers the precision of no product in place
        total = _Sum.apply(held, diagonals, *values)
        for rows, matrix in products:
            total = total + (rows @ matrix).view_as(total)
        return total
    return _Sum.apply(held, diagonals, *values, *[factor for product in products for factor in product])
