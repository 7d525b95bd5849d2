"""Whole tensors merged by a method, for use from Python and beside the streamed merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import Draw, drawing
from weightspace.merge.methods.option import Value
from weightspace.merge.methods.registry import known_merge_method
from weightspace.merge.methods.run import CHUNK, merged_chunks
from weightspace.merge.methods.settings import settings_of


def merge_tensors(
    method: str,
    tensors: Sequence[Tensor],
    base: Tensor | None = None,
    *,
    options: Mapping[str, Value | Sequence[float]] | None = None,
    seed: int = 0,
    name: str = "",
    draw: Draw | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Merges tensors of one shape.

    Args:
        method: Name of a merge method.
        tensors: Those of the models, of one shape; computed in float32, of float64 in that.
        base: That of the base model.
        options: Options by name; of those of models a number for all or a sequence of one each. Defaults for others.
        seed: Seed of random masks.
        name: Name of the tensor, on which random masks depend as well.
        draw: Random masks of one's own.
        chunk: Elements to work on together.

    Returns:
        The merged tensor, of the type of the base, or of the first.

    Raises:
        MergeError: The method, an option, the number of models or a shape is wrong.
    """
    found = known_merge_method(method)
    settings = settings_of(found, len(tensors), has_base=base is not None, options=options or {})
    like = tensors[0] if base is None else base
    for tensor in tensors:
        if tensor.shape != like.shape:
            raise MergeError(f"expected tensors of one shape, found {tuple(like.shape)} and {tuple(tensor.shape)}")
    every = draw or drawing(seed, name)
    if like.numel() == 0:
        return like.clone()
    flat, origin = [tensor.reshape(-1) for tensor in tensors], None if base is None else base.reshape(-1)

    def read(start: int, stop: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return tuple(tensor[start:stop] for tensor in flat), None if origin is None else origin[start:stop]

    merged = torch.cat([part for _, part in merged_chunks(found, settings, like.shape, read, every, chunk=chunk)])
    return merged.reshape(like.shape).to(like.dtype)
