"""Networks as sequences of tokens, of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Tokens of several networks, of any architectures, padded to the longest.

    Attributes:
        tokens: (networks, tokens, size), zero where nothing is.
        mask: Which elements are weights, bool (networks, tokens, size). A token without any is padding.
        positions: Token in the network, layer, and token in the layer, int64 (networks, tokens, 3).
    """

    tokens: Tensor
    mask: Tensor
    positions: Tensor

    @property
    def present(self) -> Tensor:
        """Which tokens are no padding, bool (networks, tokens)."""
        return self.mask.any(-1)

    def __len__(self) -> int:
        """Number of networks."""
        return len(self.tokens)


def collated(batches: Sequence[TokenBatch]) -> TokenBatch:
    """Joins batches, of different architectures too, into one.

    Args:
        batches: With tokens of one size and type.

    Raises:
        SpecError: There is none, or tokens of different sizes.
    """
    sizes = sorted({batch.tokens.shape[2] for batch in batches})
    if len(sizes) != 1:
        raise SpecError(
            f"tokens: expected batches of one token size, found {sizes or 'no batch'}; cut all networks alike"
        )
    longest = max(batch.tokens.shape[1] for batch in batches)

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])

    return TokenBatch(
        joined([batch.tokens for batch in batches]),
        joined([batch.mask for batch in batches]),
        joined([batch.positions for batch in batches]),
    )
