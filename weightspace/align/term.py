"""One block of the matching objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.symmetry.block import Block


@dataclass
class Term:
    """One block of the objective: the inner product of ``a`` and ``b``, both float32 of shape ``block.shape``.

    The weight of the block in the objective, where it has one, is a factor of ``a``.
    """

    block: Block
    a: Tensor
    b: Tensor

    def value(self) -> float:
        """The inner product, accumulated in float64."""
        return float(torch.dot(self.a.reshape(-1).double(), self.b.reshape(-1).double()))

    def places(self, group: str) -> list[int]:
        """Dimensions of the block that carry a group."""
        return [place for place, dim in enumerate(self.block.dims) if dim.group == group]
