"""The affine map that a network expects its input channels to have passed through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightspace.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    """`(x - mean) / std` per channel, for inputs scaled to [0, 1].

    Attributes:
        mean: One number per channel, or a single one for all channels.
        std: As many positive numbers as `mean`.

    Raises:
        DataError: The lengths differ, or a value is not finite, or a standard deviation is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise DataError(
                f"normalisation: expected one mean and one standard deviation per channel, "
                f"found {len(self.mean)} and {len(self.std)}; give as many of each"
            )
        if not all(map(math.isfinite, self.mean)) or not all(math.isfinite(s) and s > 0 for s in self.std):
            raise DataError(
                f"normalisation: expected finite means and positive standard deviations, "
                f"found mean {self.mean} and std {self.std}; correct them"
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            x: Floating tensor `(N, C, ...)`.

        Returns:
            A new tensor of the same shape and dtype.

        Raises:
            DataError: `x` has another number of channels, or holds token ids.
        """
        import torch

        if not x.is_floating_point():
            raise DataError(
                f"normalisation: expected images or floating features, found {x.dtype} ids; leave mean and std out"
            )
        if x.ndim < 2 or len(self.mean) not in (1, x.shape[1]):
            raise DataError(
                f"normalisation: expected inputs (N, C, ...) with C = {len(self.mean)} channels, found the shape "
                f"{tuple(x.shape)}; give one mean and one standard deviation per channel of the data"
            )
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device).reshape(shape)
        std = torch.tensor(self.std, dtype=x.dtype, device=x.device).reshape(shape)
        return (x - mean) / std
