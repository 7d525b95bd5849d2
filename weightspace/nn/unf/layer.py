"""The equivariant linear layer of universal neural functionals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError
from weightspace.nn.unf.layout import Layout
from weightspace.nn.unf.mix import Mix
from weightspace.nn.unf.mixing import Mixing, Term, mixings_of
from weightspace.nn.unf.reading import Reading
from weightspace.nn.unf.sum import summed
from weightspace.nn.unf.writing import Writing

Far = Literal["shared", "own"]
MOST_OWN = 8  # blocks that carry one group and have matrices of their own between all of them


class UNFLayer(nn.Module):
    """All equivariant linear maps between the features of all blocks (Zhou et al. 2024, Universal neural functionals).

    Every basis map, one for each valid partition of the dimensions of an output and an input block, has its own matrix
    of channels, and every way to write a constant its own bias. On a multilayer perceptron this is the layer of NFN-NP
    (Zhou et al. 2023; ``fold=1``) or of DWSNets (Navon et al. 2023) and NFN-HNP (a ``fold`` above the numbers of inputs
    and outputs).

    What is evaluated is grouped: diagonals and means are taken once, all maps that keep the same indices are one matrix
    product at the size of these, and each block is written with few additions of its full size.

    The number of maps that keep no index grows with the square of the number of blocks, as every block then tells every
    other its means; so does that of maps that keep an index of a group which all blocks carry, the residual stream of a
    transformer. ``far="shared"`` replaces the former, and the latter where more than 8 blocks are written, by shared
    vectors: all that is read goes through one matrix to ``out_channels`` channels, which every block then reads. It
    stays equivariant and grows linearly, but spans less. ``far="own"`` keeps the exact, full basis.

    Args:
        layout: The indices of the features.
        in_channels: Of every block, or one number for all.
        out_channels: Likewise.
        far: ``"shared"`` or ``"own"``, as above.

    Raises:
        SpecError: Channels are given for another number of blocks.
    """

    def __init__(
        self, layout: Layout, in_channels: int | Sequence[int], out_channels: int | Sequence[int], far: Far = "shared"
    ) -> None:
        super().__init__()
        ins, outs = _per_block(in_channels, layout), _per_block(out_channels, layout)
        self.outs, self.sizes = outs, [shape.sizes for shape in layout.all]
        mixings = mixings_of([shape.dims for shape in layout.all])
        self.mixes = nn.ModuleList(
            Mix(mixing, ins, outs, max(outs) if far == "shared" and _is_shared(mixing) else None) for mixing in mixings
        )
        self._plan()
        fans = [0] * len(layout.all)
        for mix in self._mixes():
            for write in mix.mixing.writes:
                fans[write.block] += mix.fan
        for mix in self._mixes():
            mix.initialise(fans)

    def _plan(self) -> None:
        """What is read and where it is written: pieces of all mixes in a row, and products of direct ones in a row."""
        reads: list[Term] = []
        pieces: list[Term] = []
        self._read_by: list[tuple[int, int]] = []  # stretches of the reads
        self._pieces_of: list[list[int]] = [[] for _ in self.sizes]
        self._products_of: list[list[int]] = [[] for _ in self.sizes]
        products = 0
        for mix in self._mixes():
            start = len(reads)
            if mix.direct:
                for write in mix.mixing.writes:
                    # Rows lie as in the block that is written, which may have the indices in another order.
                    reads += [read.arranged_for(write) for read in mix.mixing.reads]
                    self._products_of[write.block] += range(products, products + len(mix.mixing.reads))
                    products += len(mix.mixing.reads)
            else:
                reads += mix.mixing.reads
                for write in mix.mixing.writes:
                    self._pieces_of[write.block].append(len(pieces))
                    pieces.append(write)
            self._read_by.append((start, len(reads)))
        self._reading = Reading(reads)
        self._writings = [Writing([pieces[place] for place in places]) for places in self._pieces_of]

    def _mixes(self) -> Iterator[Mix]:
        for mix in self.mixes:
            assert isinstance(mix, Mix)
            yield mix

    @override
    def forward(self, features: Sequence[Tensor], onto: Sequence[Tensor] | None = None) -> list[Tensor]:
        """What the maps give, and ``onto`` in addition.

        Args:
            features: Of all blocks, (networks, *sizes, in_channels).
            onto: Likewise with ``out_channels``; None for zeros.

        Returns:
            Of all blocks, (networks, *sizes, out_channels).
        """
        networks = len(features[0])
        if onto is None:
            zero = features[0].new_zeros(())
            onto = [zero.expand(networks, *sizes, outs) for sizes, outs in zip(self.sizes, self.outs, strict=True)]
        reads = self._reading(features)
        pieces: list[Tensor] = []
        products: list[tuple[Tensor, Tensor]] = []
        for mix, (start, stop) in zip(self._mixes(), self._read_by, strict=True):
            if mix.direct:
                matrices = [matrix for column in zip(*mix.matrices(), strict=True) for matrix in column]
                rows = [read.flatten(0, -2) for read in reads[start:stop]]
                products += zip(rows, matrices, strict=True)
            else:
                pieces += mix(reads[start:stop], networks)
        written = []
        for block, writing in enumerate(self._writings):
            added = writing([pieces[place] for place in self._pieces_of[block]])
            written.append(summed(onto[block], added, [products[place] for place in self._products_of[block]]))
        return written

    def maps(self) -> Iterator[tuple[Term, Term, Tensor]]:
        """Every basis map as its write, its read, and its matrix (channels read, channels written)."""
        for mix in self._mixes():
            for read, row in zip(mix.mixing.reads, mix.matrices(), strict=True):
                for write, matrix in zip(mix.mixing.writes, row, strict=True):
                    yield write, read, matrix

    def constants(self) -> Iterator[tuple[Term, Tensor]]:
        """Every invariant constant as its write and its channels."""
        for mix in self._mixes():
            if mix.bias is not None:
                yield from zip(mix.mixing.writes, mix.constants(), strict=True)


def _is_shared(mixing: Mixing) -> bool:
    return mixing.slots == 0 or (len(mixing.writes) > MOST_OWN and not mixing.full)


def _per_block(channels: int | Sequence[int], layout: Layout) -> list[int]:
    counts = [channels] * len(layout.all) if isinstance(channels, int) else list(channels)
    if len(counts) != len(layout.all):
        raise SpecError(
            f"channels: expected one number or one for each of {len(layout.all)} blocks, found {len(counts)}"
        )
    return counts
