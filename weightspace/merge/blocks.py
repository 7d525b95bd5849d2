"""The parts of a weight that a merged network uses: units of one network do not read those that only another has.

Where units are kept apart on both sides of a layer, its weight falls into blocks (PLeaS: Nasery et al. 2024, figure 2).
What lies between units of different networks is zero, is not solved for, and is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.merge.homes import Homes
from weightspace.merge.wide import Wide
from weightspace.symmetry.sites import Site


@dataclass(frozen=True, eq=False)
class Block:
    """Some outputs of a layer, and the inputs that they read.

    Attributes:
        networks: Numbers of the networks that have units there: all that one of the outputs has.
        made: Indices of the outputs, int64.
        read: Indices of the inputs, int64.
    """

    networks: tuple[int, ...]
    made: Tensor
    read: Tensor


def blocks_of(homes: Homes, site: Site) -> tuple[Block, ...]:
    """The blocks of a weight, ordered by their first output; one block where nothing in it is zero."""
    axes = homes.spec.tensors[site.weight].axes
    made, read = (homes.present(axes[dim]) for dim in (site.made, site.read))
    if site.convolution is not None and site.convolution.groups > 1:
        return (Block(tuple(range(len(made))), torch.arange(made.shape[1]), torch.arange(read.shape[1])),)
    found: dict[tuple[bool, ...], list[Block]] = {}
    for pattern in torch.unique(made, dim=1).T:
        rows = (made == pattern[:, None]).all(0).nonzero().flatten()
        columns = read[pattern].any(0)
        networks = tuple(pattern.nonzero().flatten().tolist())
        found.setdefault(tuple(columns.tolist()), []).append(Block(networks, rows, columns.nonzero().flatten()))
    return tuple(sorted(map(_joined, found.values()), key=lambda block: int(block.made[0])))


def _joined(blocks: list[Block]) -> Block:
    """Outputs of different networks that read the same inputs."""
    networks = sorted({network for block in blocks for network in block.networks})
    return Block(tuple(networks), torch.cat([block.made for block in blocks]).sort().values, blocks[0].read)


def kept(wide: Wide) -> Mapping[str, tuple[Block, ...]]:
    """The weights that fall into several blocks, with these."""
    found = {name: blocks_of(wide.homes, site) for name, site in wide.sites.items()}
    return {name: blocks for name, blocks in found.items() if len(blocks) > 1}


def masks_of(wide: Wide) -> dict[str, Tensor]:
    """For weights that fall into blocks 1 where something is stored and 0 in between, of the shape of the weight."""
    found, sites = {}, wide.sites
    for name, blocks in kept(wide).items():
        mask = torch.zeros_like(wide.state[name])
        turned = mask.transpose(0, 1) if sites[name].transposed else mask
        for block in blocks:
            turned[block.made[:, None], block.read] = 1.0
        found[name] = mask
    return found
