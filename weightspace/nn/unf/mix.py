"""The channel matrices of one mixing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.nn.unf.mixing import Mixing


class Mix(nn.Module):
    """One matrix from the channels of all reads of a mixing to those of all writes, or two through shared channels.

    Args:
        mixing: The reads and writes.
        in_channels: Channels of every block that is read.
        out_channels: Channels of every block that is written.
        shared: Number of channels in between, which all writes share; None for a matrix of its own for every map.

    Attributes:
        fan: How many channels one write is the sum of.
        direct: Whether what it writes fills its blocks, so that the products are better added to them at once.
    """

    def __init__(
        self, mixing: Mixing, in_channels: Sequence[int], out_channels: Sequence[int], shared: int | None
    ) -> None:
        super().__init__()
        self.mixing = mixing
        self.ins = [in_channels[read.block] for read in mixing.reads]
        self.outs = [out_channels[write.block] for write in mixing.writes]
        gathered = shared if mixing.reads else None
        self.gather = None if gathered is None else nn.Parameter(torch.empty(sum(self.ins), gathered))
        self.fan = sum(self.ins) if gathered is None else gathered
        self.direct = gathered is None and mixing.slots > 0 and mixing.full
        self.weight = nn.Parameter(torch.empty(self.fan, sum(self.outs))) if mixing.reads else None
        self.bias = None if mixing.slots else nn.Parameter(torch.zeros(sum(self.outs)))

    @torch.no_grad()
    def initialise(self, fans: Sequence[int]) -> None:
        """Draws the matrices so that every block keeps the variance of its input.

        Args:
            fans: For every block, how many channels its writes are the sum of, over all mixings.
        """
        if self.gather is not None:
            self.gather.normal_(std=sum(self.ins) ** -0.5)
        if self.weight is not None:
            for write, columns in zip(self.mixing.writes, self.weight.split(self.outs, 1), strict=True):
                columns.normal_(std=fans[write.block] ** -0.5)

    @override
    def forward(self, reads: Sequence[Tensor], networks: int) -> list[Tensor]:
        """What is written, (networks, *sizes of the slots, channels) for every write.

        Args:
            reads: (networks, *sizes of the slots, channels) for every read.
            networks: How many networks.
        """
        if self.weight is None:
            assert self.bias is not None
            return [bias.expand(networks, -1) for bias in self.bias.split(self.outs)]
        stacked = torch.cat(list(reads), -1) if len(reads) > 1 else reads[0]
        if self.gather is not None:
            stacked = stacked @ self.gather
        written = stacked @ self.weight if self.bias is None else torch.addmm(self.bias, stacked, self.weight)
        return list(written.split(self.outs, -1))

    def matrices(self) -> list[list[Tensor]]:
        """For every read and every write the matrix (channels read, channels written)."""
        if self.weight is None:
            return []
        weight = self.weight if self.gather is None else self.gather @ self.weight
        return [list(rows.split(self.outs, 1)) for rows in weight.split(self.ins, 0)]

    def constants(self) -> list[Tensor]:
        """For every write its invariant constant, if the mixing has any."""
        return [] if self.bias is None else list(self.bias.split(self.outs))
