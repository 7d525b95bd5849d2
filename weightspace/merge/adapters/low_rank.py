"""What an adapter adds to the weight of one module: a product of low rank (LoRA, Hu et al. 2022), kept as factors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["linear", "conv", "embedding"]


@dataclass(frozen=True)
class LowRank:
    """The change of a weight.

    Attributes:
        kind: Of a linear layer, whose weight is (outputs, inputs), or swapped in GPT-2's Conv1D; of a convolution
            without groups, (outputs, inputs, ...); of an embedding, (tokens, features).
        left: (rows, rank), with all scaling.
        right: (rank, columns, ...): the change is left @ right, in float32 or float64.
        bias: What is added to the bias of the module, (outputs,); None for nothing.
        magnitude: The lengths that the rows of the changed weight get (DoRA, Liu et al. 2024, equation 5); None where
            they are left as they come.
    """

    kind: Kind
    left: Tensor
    right: Tensor
    bias: Tensor | None = None
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of columns of the left factor."""
        return self.left.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the change, outputs first."""
        return (self.left.shape[0], *self.right.shape[1:])

    def full(self) -> Tensor:
        """The product, outputs first: of the shape of the weight, unless that is swapped."""
        return (self.left @ self.right.flatten(1)).reshape(self.shape)

    def scaled(self, factor: float) -> LowRank:
        """A multiple of the change; not of one with magnitudes, which no factor scales."""
        assert self.magnitude is None
        return replace(self, left=self.left * factor, bias=None if self.bias is None else self.bias * factor)

    def change_of(self, weight: Tensor) -> Tensor:
        """What is added to a weight, outputs first, in the type of the product."""
        full = self.full()
        if self.magnitude is None:
            return full
        changed = weight.to(full.dtype) + full
        lengths = torch.linalg.vector_norm(changed.flatten(1), dim=1)
        factors = self.magnitude.flatten().to(full.dtype) / lengths
        return changed * factors.reshape(-1, *[1] * (full.dim() - 1)) - weight.to(full.dtype)


def low_rank(
    kind: Kind, a: Tensor, b: Tensor, scaling: float, bias: Tensor | None = None, magnitude: Tensor | None = None
) -> LowRank:
    """The change that tensors of PEFT mean.

    Args:
        kind: As for `LowRank`.
        a: `lora_A`: (rank, inputs, ...); of an embedding (rank, tokens).
        b: `lora_B`: (outputs, rank), of a convolution with ones behind; of an embedding (features, rank).
        scaling: What the product is multiplied by.
        bias: `lora_B.bias`.
        magnitude: `lora_magnitude_vector`.
    """
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    left, right = (a.T, b.T) if kind == "embedding" else (b.flatten(1), a)
    # Zeros beside a layer without a bias mean none: PEFT's lora_bias gives one to every layer.
    added = None if bias is None or not bias.any() else bias.to(dtype) * scaling
    return LowRank(kind, left * scaling, right, added, magnitude)


def factors_of(change: LowRank) -> dict[str, Tensor]:
    """The tensors of PEFT, by the ends of their names, for a scaling of 1; without the bias."""
    left, right = change.left, change.right
    if change.kind == "embedding":
        return {"lora_embedding_A": left.T, "lora_embedding_B": right.T}
    return {"lora_A.weight": right, "lora_B.weight": left.reshape(*left.shape, *[1] * (right.dim() - 2))}
