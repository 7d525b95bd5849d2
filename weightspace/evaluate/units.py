"""Units that are recognised: whose counterpart in the other network is nearest to them of all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.symmetry import Spec
from weightspace.symmetry.block import Block

# Of two networks that were never trained, an alignment makes units of groups of two or three recognise up to 0.88 of
# each other, of groups of six 0.54, of sixteen 0.39: in small groups there is always somebody alike.
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Recognised:
    """How many units of a group, or of all, have the unit in the same place of the other network nearest to them.

    Each unit is asked once per block of weights that it has a place in, in both directions, by cosine.

    Attributes:
        hits: How many are nearest to their counterpart.
        asked: Of how many.
        log10_chance: Logarithm of a bound on the probability that so many stand face to face if the order of the units
            of one network says nothing about that of the other; 0 where there is no evidence.
    """

    hits: float = 0.0
    asked: int = 0
    log10_chance: float = 0.0

    @property
    def share(self) -> float | None:
        """Share of the units that are recognised, 0 to 1; None where there are none."""
        return self.hits / self.asked if self.asked else None

    def to_json(self) -> dict[str, float | int | None]:
        """As plain values."""
        return {"share": self.share, "asked": self.asked, "log10_chance": self.log10_chance}


def recognised(spec: Spec, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Recognised]:
    """Finds out how many units of each group are nearest to their counterpart.

    The bound on chance: let an independent network have its units in random order. Of the pairs of units that are
    nearest to each other, at most n, each stands face to face with probability 1/n; the expected number of ways to
    choose k that do is at most 1/k!, and with it the probability that k or more do. The best of all blocks counts,
    times the number of blocks. It holds for networks as they are stored, not after an alignment, which chooses the
    order.

    Args:
        spec: The symmetry; only groups that move are of use, since frozen indices stay where they are in every network.
        a: Weights of the reference, by the names of the spec.
        b: Weights of the other network.

    Returns:
        By name of the group; groups without a matrix to compare are left out.
    """
    movable = {group.name for group in spec.groups}
    hits: dict[str, float] = {}
    asked: dict[str, int] = {}
    most: dict[str, int] = {}
    blocks: dict[str, int] = {}
    for name, tensor in spec.tensors.items():
        if tensor.kind != "parameter":
            continue
        for block in spec.blocks[name]:
            if not block.groups & movable:
                continue
            x, y = block.read(a[name].double()), block.read(b[name].double())
            for group, units in _units(block, x, y, movable):
                found, number, mutual = _nearest(*units)
                if number:
                    hits[group] = hits.get(group, 0.0) + found
                    asked[group] = asked.get(group, 0) + number
                    most[group] = max(most.get(group, 0), mutual)
                    blocks[group] = blocks.get(group, 0) + len(units[0])
    return {
        group: Recognised(hits[group], asked[group], _log10_chance(most[group], blocks[group]))
        for group in (each.name for each in spec.groups)
        if group in asked
    }


def together(spec: Spec, groups: Mapping[str, Recognised]) -> Recognised:
    """All groups of `FEWEST` units or more as one.

    The chance is that of the best group times their number: groups are not independent of each other.
    """
    each = [groups[group.name] for group in spec.groups if group.size >= FEWEST and group.name in groups]
    if not each:
        return Recognised()
    chance = min(one.log10_chance for one in each) + math.log10(len(each))
    return Recognised(sum(one.hits for one in each), sum(one.asked for one in each), min(0.0, chance))


def _units(block: Block, x: Tensor, y: Tensor, movable: set[str]) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Per dimension that carries a group: the units of both networks as rows, (copies, n, numbers of a unit)."""
    for place, dim in enumerate(block.dims):
        if dim.group is None or dim.group not in movable or dim.size < 2:
            continue
        front = (*dim.outer, place)
        copies = math.prod(x.shape[outer] for outer in dim.outer)
        u, v = (z.movedim(front, tuple(range(len(front)))).reshape(copies, dim.size, -1) for z in (x, y))
        if u.shape[-1] > 1:  # the cosine of two numbers says nothing
            yield dim.group, (u, v)


def _nearest(u: Tensor, v: Tensor) -> tuple[float, int, int]:
    """Hits, units that were asked, and the most mutual hits in one copy; units without weights are not asked."""
    norms = u.norm(dim=-1, keepdim=True), v.norm(dim=-1, keepdim=True)
    alive = ((norms[0] > 0) & (norms[1] > 0)).squeeze(-1)
    tiny = torch.finfo(u.dtype).tiny
    cosines = (u / norms[0].clamp_min(tiny)) @ (v / norms[1].clamp_min(tiny)).mT
    here = torch.arange(cosines.shape[-1], device=cosines.device)
    forth, back = (cosines.argmax(2) == here) & alive, (cosines.argmax(1) == here) & alive
    mutual = (forth & back).sum(1)
    return float(forth.sum() + back.sum()) / 2, int(alive.sum()), int(mutual.max())


def _log10_chance(mutual: int, tests: int) -> float:
    return min(0.0, math.log10(tests) - math.lgamma(mutual + 1) / math.log(10.0))
