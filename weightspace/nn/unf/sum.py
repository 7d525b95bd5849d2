"""A sum of repeated tensors, diagonals and matrix products in one new tensor, with nothing of its size in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from weightspace.nn.unf.partition import Partition
from weightspace.nn.unf.reading import diagonal


class _Sum(torch.autograd.Function):
    """Autograd itself would keep or copy the whole sum at every addition in place to one of its views."""

    generate_vmap_rule = True

    @staticmethod
    @override
    def forward(held: Tensor, partitions: Sequence[Partition], *terms: Tensor) -> Tensor:
        added, factors = terms[: len(partitions)], terms[len(partitions) :]
        total = None
        for partition, values in zip(partitions, added, strict=True):
            if total is None and len(partition) == held.dim() - 2:
                total = held + values
            else:
                total = held.clone(memory_format=torch.contiguous_format) if total is None else total
                diagonal(total, partition).add_(values)
        total = held.clone(memory_format=torch.contiguous_format) if total is None else total
        for rows, matrix in zip(factors[::2], factors[1::2], strict=True):
            total.view(-1, total.shape[-1]).addmm_(rows, matrix)
        return total

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.partitions, *terms = inputs
        ctx.shapes = [values.shape for values in terms[: len(ctx.partitions)]]
        ctx.save_for_backward(*terms[len(ctx.partitions) :])

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        added = [
            diagonal(gradient, partition).sum_to_size(shape)
            for partition, shape in zip(ctx.partitions, ctx.shapes, strict=True)
        ]
        flat = gradient.reshape(-1, gradient.shape[-1])
        factors = []
        for rows, matrix in zip(ctx.saved_tensors[::2], ctx.saved_tensors[1::2], strict=True):
            factors += [flat @ matrix.T, rows.T @ flat]
        return gradient, None, *added, *factors


def summed(
    held: Tensor, added: Sequence[tuple[Partition, Tensor]], products: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """A new tensor (networks, *sizes, channels).

    Args:
        held: What to start from, (networks, *sizes, channels).
        added: For partitions of its indices what is added to the entries whose indices are equal within every part:
            (networks, *sizes of the parts, channels), or 1 for the size of a part to repeat it along.
        products: Rows (networks * all sizes, n) and a matrix (n, channels), whose product is added.
    """
    factors = [factor for product in products for factor in product]
    return _Sum.apply(held, tuple(partition for partition, _ in added), *(values for _, values in added), *factors)
