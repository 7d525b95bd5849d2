"""Run a method over the chunks of one tensor: every measure in turn, then the result, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from weightspace.merge.methods.chunk import Chunk, Draw
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Settings

CHUNK = 1 << 18  # elements: what a method works on stays in a core's cache

Read = Callable[[int, int], tuple[tuple[Tensor, ...], Tensor | None]]


def merged_chunks(
    method: MergeMethod, settings: Settings, shape: Sequence[int], read: Read, draw: Draw, *, chunk: int = CHUNK
) -> Iterator[tuple[int, Tensor]]:
    """Merges a tensor, holding no more than a chunk of it in every model.

    Args:
        method: The method.
        settings: Its options.
        shape: Shape of the tensor, with at least one element.
        read: Elements of the flattened tensor from a start to before a stop, of every model and of the base.
        draw: Random masks.
        chunk: Elements to work on together; methods that go by rows take at least one row.

    Yields:
        Where a chunk begins in the flattened tensor, and its merged elements (k,), float32 or float64.
    """
    columns = columns_of(method, shape)
    length = max(1, chunk // columns) * columns

    def chunks() -> Iterator[tuple[int, Chunk]]:
        for number, start in enumerate(range(0, math.prod(shape), length)):
            tensors, base = read(start, min(start + length, math.prod(shape)))
            pieces = tuple(_laid_out(tensor, method, columns) for tensor in tensors)
            yield start, Chunk(pieces, None if base is None else _laid_out(base, method, columns), number, draw)

    measured: Measured = ()
    for measure in method.measures:
        found = None
        if measure.needed(settings):
            # Without a name: the parts of one measure are gone before those of the next are made.
            found = measure.join([measure.of(each, settings, measured) for _, each in chunks()], settings, measured)
        measured = (*measured, found)
    for start, each in chunks():
        yield start, method.combine(each, settings, measured).reshape(-1)


def columns_of(method: MergeMethod, shape: Sequence[int]) -> int:
    """Elements that a chunk holds a multiple of: those of a row, for methods that go by rows."""
    return math.prod(shape[1:] if len(shape) > 1 else shape) if method.by_rows else 1


def _laid_out(piece: Tensor, method: MergeMethod, columns: int) -> Tensor:
    """A piece in the type that methods compute in, in rows for those that go by rows."""
    numbers = piece if piece.dtype == torch.float64 else piece.float()
    return numbers.reshape(-1, columns) if method.by_rows else numbers
