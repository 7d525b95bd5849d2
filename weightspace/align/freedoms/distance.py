"""How far two networks are from each other, block by block, in the weights of balanced matching."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from weightspace.align.balance import block_weights
from weightspace.symmetry.block import Block


class Distance:
    """Sum over blocks of ``weight * |A - B|^2``; unlike an inner product it knows when factors grow too large.

    Attributes:
        weights: By tensor, the weight of each of its blocks (see `weightspace.align.balance`).
    """

    def __init__(
        self, blocks: Mapping[str, tuple[Block, ...]], a: Mapping[str, Tensor], b: Mapping[str, Tensor]
    ) -> None:
        """Weighs the blocks, once for all that B becomes.

        Args:
            blocks: Blocks of the tensors that count.
            a: The reference.
            b: The other network as it is at first.
        """
        self._blocks, self._a = blocks, a
        flat = [(name, block) for name, each in blocks.items() for block in each]
        norms = [(float(block.read(a[name]).norm()), float(block.read(b[name]).norm())) for name, block in flat]
        found = iter(block_weights([block for _, block in flat], norms))
        self.weights = {name: tuple(next(found) for _ in each) for name, each in blocks.items()}

    def __call__(self, b: Mapping[str, Tensor], only: Collection[str] | None = None) -> float:
        """The distance of some weights from A, of all tensors that count or of some of them."""
        total = 0.0
        for name, weights in self.weights.items():
            if only is None or name in only:
                for block, weight in zip(self._blocks[name], weights, strict=True):
                    total += weight * float((block.read(self._a[name]) - block.read(b[name])).square().sum())
        return total
