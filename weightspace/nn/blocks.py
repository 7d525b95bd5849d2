"""Weights of several networks of one spec as dense blocks: what metanetworks of one architecture compute on.

A batch of networks is one tensor (networks, *shape of the block) for every block of the spec, in its order. Features
of weights have their channels last: (networks, *shape of the block, channels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.nn.batch import networks_in
from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block


class Blocks:
    """The blocks of all tensors of a spec that metanetworks read, in order.

    Args:
        spec: The symmetry of the networks.
        names: Tensors to read; by default all parameters and running statistics, each tied one once.
    """

    def __init__(self, spec: Spec, names: Sequence[str] | None = None) -> None:
        self.spec = spec
        chosen = [name for name, tensor in spec.tensors.items() if tensor.kind != "buffer"] if names is None else names
        self.names = tuple(chosen)
        self.all: tuple[Block, ...] = tuple(block for name in self.names for block in spec.blocks[name])

    def split(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The blocks of a batch.

        Args:
            tensors: By name (networks, *shape).

        Returns:
            (networks, *shape of the block) for every block.

        Raises:
            SpecError: A tensor is missing, has another shape, or holds another number of networks.
        """
        networks_in(tensors, {name: self.spec.tensors[name].shape for name in self.names})
        return [_read(block, tensors[block.tensor]) for block in self.all]

    def join(self, blocks: Sequence[Tensor]) -> dict[str, Tensor]:
        """The inverse of `split`; blocks may have channels, (networks, *shape of the block, channels)."""
        joined: dict[str, Tensor] = {}
        for block, values in zip(self.all, blocks, strict=True):
            if block.tensor not in joined:
                shape = self.spec.tensors[block.tensor].shape
                rest = values.shape[1 + len(block.dims) :]
                joined[block.tensor] = values.new_zeros(len(values), *shape, *rest)
            joined[block.tensor] = _written(block, joined[block.tensor], values)
        return joined


def stacked(networks: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> dict[str, Tensor]:
    """Tensors of several networks as one batch, by name (networks, *shape)."""
    return {name: torch.stack([network[name] for network in networks]) for name in names}


def _read(block: Block, tensor: Tensor) -> Tensor:
    for axis, piece in enumerate(block.pieces, start=1):
        if piece.span is not None:
            tensor = tensor.narrow(axis, *piece.span)
        else:
            tensor = tensor.index_select(axis, piece.index.reshape(-1).to(tensor.device))
    return tensor.reshape(len(tensor), *block.shape)


def _written(block: Block, tensor: Tensor, values: Tensor) -> Tensor:
    """A tensor (networks, *shape, ...) with the values of a block; differentiable in both."""
    sizes = [piece.index.numel() for piece in block.pieces]
    values = values.reshape(len(values), *sizes, *values.shape[1 + len(block.dims) :])
    if sizes == list(tensor.shape[1 : 1 + len(sizes)]) and all(piece.span is not None for piece in block.pieces):
        return values
    grid = [
        piece.index.reshape([-1 if i == axis else 1 for i in range(len(sizes))]).to(tensor.device)
        for axis, piece in enumerate(block.pieces)
    ]
    # Networks come first: an index tuple puts its dimensions there, so they are moved away and back.
    return tensor.movedim(0, len(sizes)).index_put(tuple(grid), values.movedim(0, len(sizes))).movedim(len(sizes), 0)
