"""Layers on elements that are known up to a scale or a sign (ScaleGMN, Kalogeropoulos et al. 2024, section 4).

The last dimension of every tensor holds the channels of an element; a scale or a sign acts on all of them together.
Any number of dimensions (networks, units, inputs of units) may stand before it, each with scales of its own.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError
from weightspace.nn.scale.canonical import CanonicalScale, CanonicalSign

Freedom = Literal["scale", "sign"]


class InvariantLayer(nn.Module):
    """g(canon(x)): what may be said of an element whose scale (or sign) does not count.

    Args:
        freedom: ``scale`` (positive) or ``sign``.
        channels_in: Channels of an element.
        channels_out: Channels of the result.
        hidden: Width of g, and of the canonical form of signs.

    Raises:
        SpecError: Another freedom.
    """

    def __init__(self, freedom: Freedom, channels_in: int, channels_out: int, *, hidden: int) -> None:
        super().__init__()
        if freedom not in get_args(Freedom):
            raise SpecError(f"freedom '{freedom}': expected one of {', '.join(get_args(Freedom))}; name one of these")
        self.canonical = CanonicalScale(channels_in) if freedom == "scale" else CanonicalSign(channels_in, hidden)
        self.g = nn.Sequential(nn.Linear(self.canonical.channels, hidden), nn.GELU(), nn.Linear(hidden, channels_out))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(..., channels_out), the same for x (..., channels_in) and for s x."""
        return self.g(self.canonical(x))


class EquivariantLayer(nn.Module):
    """W x * g(canon(x)): an element times s goes in, the result times s comes out.

    Args:
        freedom: ``scale`` (positive) or ``sign``.
        channels_in: Channels of an element.
        channels_out: Channels of the result.
        hidden: Width of g, and of the canonical form of signs.

    Raises:
        SpecError: Another freedom.
    """

    def __init__(self, freedom: Freedom, channels_in: int, channels_out: int, *, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels_in, channels_out, bias=False)
        self.gate = InvariantLayer(freedom, channels_in, channels_out, hidden=hidden)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(..., channels_out), times s where x (..., channels_in) is; zero where x is zero."""
        return self.linear(x) * self.gate(x)


class EquivariantProduct(nn.Module):
    """A product of linear maps, W_1 x_1 * W_2 x_2: scaled by s_1 s_2 where its factors are scaled by s_1 and s_2.

    With an `EquivariantLayer` on top it is the message along a weight: what the weight says, scaled by s_i / s_j, times
    what its source says, scaled by s_j, is scaled by s_i as the unit that it goes to.

    Args:
        first: Channels of the first factor.
        second: Channels of the second factor.
        channels_out: Channels of the product.
    """

    def __init__(self, first: int, second: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Linear(first, channels_out, bias=False)
        self.second = nn.Linear(second, channels_out, bias=False)

    @override
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(..., channels_out) from (..., first) and (..., second), whose leading dimensions broadcast."""
        return self.first(first) * self.second(second)
