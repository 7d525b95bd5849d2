"""Which dimensions of a block carry an index of features and which are folded into their channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.errors import SpecError
from weightspace.nn.blocks import Blocks
from weightspace.nn.unf.fixed import fixed_labels
from weightspace.symmetry.block import Block


@dataclass(frozen=True, slots=True)
class LabelledDim:
    """One index of the features of a block.

    Attributes:
        label: What permutes it: equal for two dimensions that are permuted together.
        size: Number of indices.
        outer: Where the permutation differs for every index of other dimensions: their positions among the labelled
            dimensions of the block, in an order that is the same for all dimensions of one label.
        ordered: Whether it stays in place in truth, and is permutable only to the layer.
    """

    label: str
    size: int
    outer: tuple[int, ...] = ()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class FeatureShape:
    """How the features of one block lie.

    Attributes:
        dims: The indices that they keep, in the order of the block.
        kept: Positions of these in the block.
        folded: Positions, in the block, of the dimensions that became channels.
        shape: Shape of the block.
    """

    dims: tuple[LabelledDim, ...]
    kept: tuple[int, ...]
    folded: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the indices that are kept."""
        return tuple([dim.size for dim in self.dims])

    @property
    def channels(self) -> int:
        """Number of entries of the block at one index of its features."""
        return math.prod([self.shape[place] for place in self.folded])

    def fold(self, values: Tensor) -> Tensor:
        """Features (networks, *sizes, channels * rest) of values (networks, *shape, rest)."""
        order = (0, *(place + 1 for place in self.kept), *(place + 1 for place in self.folded), values.dim() - 1)
        return values.permute(order).reshape(len(values), *self.sizes, self.channels * values.shape[-1])

    def unfold(self, features: Tensor) -> Tensor:
        """The inverse of `fold`."""
        places = (*self.kept, *self.folded)
        shape = (len(features), *(self.shape[place] for place in places), features.shape[-1] // self.channels)
        back = sorted(range(len(places)), key=places.__getitem__)
        return features.reshape(shape).permute(0, *(place + 1 for place in back), len(places) + 1)


class Layout:
    """The indices of the features of all blocks of a spec.

    A dimension that a group moves is an index of the features. Dimensions that stay in place become channels, the
    smallest first and of equals the last, while a block does not get more than ``fold`` times its channels: the nine
    taps of a kernel then are nine numbers at one index. The others are indices that the layer treats as if something
    permuted them, so that it knows less of them than it could; a model adds to the features where they lie (see
    `weightspace.nn.unf.positions`). The same holds for ordered groups, the outer index of others, which are never
    folded: what is inside them could not follow. Dimensions of size 1 are always folded.

    Treating an index that stays in place as permutable is sound, as it asks the layer for more equivariance than the
    network has. With ``fold=1`` inputs and outputs are permutable as in NFN-NP (Zhou et al. 2023); with a large one
    nothing but the symmetry is used, as in DWSNets (Navon et al. 2023) and NFN-HNP.

    Args:
        blocks: The blocks.
        fold: How many times more channels a block may get.

    Attributes:
        all: The shape of the features of every block, in the order of ``blocks.all``.

    Raises:
        SpecError: ``fold`` is less than 1.
    """

    def __init__(self, blocks: Blocks, fold: int = 16) -> None:
        if fold < 1:
            raise SpecError(f"fold: expected how many times more channels a block may get, at least 1, found {fold}")
        ordered = {group.name for group in blocks.spec.all_groups if not group.movable}
        labels = [labels for name in blocks.names for labels in fixed_labels(blocks.spec, name)]
        self.blocks = blocks
        self.all: tuple[FeatureShape, ...] = tuple(
            _feature_shape(block, fixed, ordered, fold) for block, fixed in zip(blocks.all, labels, strict=True)
        )

    def fold(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Features (networks, *sizes, channels) of all blocks from values (networks, *shape, rest)."""
        return [shape.fold(part) for shape, part in zip(self.all, parts, strict=True)]

    def unfold(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The inverse of `fold`."""
        return [shape.unfold(part) for shape, part in zip(self.all, features, strict=True)]


def _feature_shape(block: Block, fixed: tuple[str | None, ...], ordered: set[str], fold: int) -> FeatureShape:
    folded = {place for place, dim in enumerate(block.dims) if dim.size == 1}
    channels = 1
    for place in sorted(range(len(block.dims)), key=lambda place: (block.dims[place].size, -place)):
        size = block.dims[place].size
        if fixed[place] is not None and channels * size <= fold:
            folded.add(place)
            channels *= size
    kept = tuple(place for place in range(len(block.dims)) if place not in folded)
    dims = tuple(
        LabelledDim(
            block.dims[place].group or fixed[place] or "",
            block.dims[place].size,
            tuple(kept.index(outer) for outer in block.dims[place].outer if outer in kept),
            fixed[place] is not None or block.dims[place].group in ordered,
        )
        for place in kept
    )
    return FeatureShape(dims, kept, tuple(sorted(folded)), block.shape)
