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
from weightspace.nn.unf.reading import Reader
from weightspace.nn.unf.sum import summed
from weightspace.nn.unf.writing import merged

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
        # The widest reads first: narrower ones are means of them.
        self.reads = sorted((read for mixing in mixings for read in mixing.reads), key=lambda read: -len(read.slots))
        fans = [0] * len(layout.all)
        for mix in self._mixes():
            for write in mix.mixing.writes:
                fans[write.block] += mix.fan
        for mix in self._mixes():
            mix.initialise(fans)

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
        reader = Reader(features, self.reads)
        pieces: list[list[tuple[Term, Tensor]]] = [[] for _ in self.sizes]
        products: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.sizes]
        for mix in self._mixes():
            if mix.direct:
                for write, rows, matrix in mix.products(reader):
                    products[write.block].append((rows, matrix))
            else:
                for write, piece in zip(mix.mixing.writes, mix(reader, networks), strict=True):
                    pieces[write.block].append((write, piece))
        blocks = zip(onto, pieces, products, strict=True)
        return [summed(held, merged(written), multiplied) for held, written, multiplied in blocks]

    def maps(self) -> Iterator[tuple[Term, Term, Tensor]]:
        """Every basis map as its write, its read, and its matrix (channels read, channels written)."""
        for mix in self._mixes():
            yield from mix.maps()

    def constants(self) -> Iterator[tuple[Term, Tensor]]:
        """Every invariant constant as its write and its channels."""
        for mix in self._mixes():
            yield from mix.constants()


def _is_shared(mixing: Mixing) -> bool:
    return mixing.slots == 0 or (len(mixing.writes) > MOST_OWN and not mixing.full)


def _per_block(channels: int | Sequence[int], layout: Layout) -> list[int]:
    counts = [channels] * len(layout.all) if isinstance(channels, int) else list(channels)
    if len(counts) != len(layout.all):
        raise SpecError(f"channels: expected one number or one for each of {len(layout.all)} blocks, found {len(counts)}")
    return counts
