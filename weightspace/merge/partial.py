"""Which matched pairs of units stay apart: those that are least alike (PLeaS: Nasery et al. 2024, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.symmetry import Element

_ROUNDING = 1e-4


def least_alike(similarities: Mapping[str, Tensor], element: Element, shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Chooses a share of the pairs of every group.

    The score of a pair is its entry at the matched position, in the coordinates of the matching: slot i of the aligned
    networks holds unit i of the first and unit ``perm[i]`` of the second.

    Args:
        similarities: As of `weightspace.align.similarity.Similarities`, of the networks before alignment.
        element: Aligns the second to the first.
        shares: For groups that may grow, see `weightspace.merge.widening`, the share of the pairs that stay apart, from
            0 to 1, rounded down to whole pairs; of one that has no similarity the first ones.

    Returns:
        For every group bool (n,), as `weightspace.merge.homes.Homes.partial` takes it.

    Raises:
        ValueError: A share is not from 0 to 1.
    """
    chosen = {}
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share of the pairs of {name} kept apart: expected from 0 to 1, found {share}")
        perm = element.perm(name)
        apart = torch.zeros(len(perm), dtype=torch.bool)
        scores = torch.arange(len(perm))
        if name in similarities:
            scores = similarities[name].cpu()[0].gather(1, perm[:, None]).squeeze(1)
        apart[scores.argsort(stable=True)[: int(share * len(perm) + _ROUNDING)]] = True
        chosen[name] = apart
    return chosen
