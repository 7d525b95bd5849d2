"""What a probe sees inside a network: activations of its units, pooled so that their order does not count."""

from __future__ import annotations

import torch
from torch import Tensor


def pooled(values: Tensor, probes: int) -> Tensor:
    """Mean and root mean square over the units and positions that one probe sets off.

    Args:
        values: (networks, samples, sizes of the outer groups..., n), samples in the order of the probes, with as many
            positions for each. Where that cannot be, as in tokens of all probes mixed, all samples count as one.
        probes: Number of probes.

    Returns:
        (networks, features): two per probe, or two.
    """
    samples = values.shape[1]
    shares = probes if samples % probes == 0 else 1
    units = values.reshape(len(values), shares, -1)
    # The root has no gradient at zero, where every unit is dead.
    power = units.square().mean(-1)
    alive = power > 0
    root = torch.where(alive, torch.where(alive, power, 1).sqrt(), 0)
    return torch.cat([units.mean(-1), root], 1)
