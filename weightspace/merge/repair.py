"""Units of a merged network brought back to the spread that they had before (REPAIR: Jordan et al. 2022).

The mean of aligned weights gives units that vary less than those they come from, layer after layer less, since what the
networks do not share averages out. A factor and a shift per unit undo this; both go into the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import DataError
from weightspace.merge.homes import Homes, mean_made
from weightspace.source import Inputs, Program
from weightspace.stats import output_moments, reset_on_calls
from weightspace.stats.moments import ChannelMoments
from weightspace.symmetry.sites import Site, Sites

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Correction:
    """What was done to the units of a layer.

    Attributes:
        units: How many there are.
        dead: How many were left as they are, since they are constant in the merged network or in all others.
        gain: The median factor of the others; 1 where there are none.
        shifted: Whether their means were set as well, which takes a bias.
    """

    units: int
    dead: int
    gain: float
    shifted: bool


@dataclass(frozen=True)
class Repaired:
    """A merged network whose units were rescaled and shifted.

    Attributes:
        state: Its weights, running statistics measured again among them.
        corrected: What was done to every layer, by the name of its weight.
    """

    state: dict[str, Tensor]
    corrected: Mapping[str, Correction]


def repair(
    program: Program,
    models: Sequence[State],
    state: State,
    batches: Callable[[], Iterable[Inputs]],
    *,
    shares: Sequence[float] | None = None,
    homes: Homes | None = None,
    merged: Program | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Repaired:
    """Gives every unit the mean over some networks of its means, and of its standard deviations, on the data.

    Layer after layer, each measured on the network as it has become (Jordan et al. 2022, section 4). The units are what
    multiplications by a parameter give, per channel over all positions of a convolution. Those that a batch norm alone
    reads are left to it: its running statistics are measured again, as `weightspace.stats.reset_batchnorm` does, before
    any layer behind it is. A layer without a bias is rescaled only; one that shares a tensor stays as it is. The last
    layer is one of them: without it real MLPs, LeNets and ResNet-20s merge worse by up to 2.6 % of accuracy, and hardly
    ever better (by 0.7 % at most); language models whose head has no bias lose up to 0.1 nats by it.

    Args:
        program: The network of the models.
        models: Weights that are aligned to each other.
        state: The merged weights.
        batches: Starts a pass over unlabelled calls of the network, the same ones every time; large ones where there
            are batch norms.
        shares: Weights of the networks in the means; equal by default.
        homes: Where their units go in the merged network; by default each with its counterpart.
        merged: The merged network, where it has another width than that of the models.
        progress: Called with (layers done, layers, what is going on).

    Raises:
        DataError: No batch, or too small ones for batch norms.
        SourceError: The network runs other operators than its trace.
    """
    shares = [1.0] * len(models) if shares is None else shares
    whole = merged or program

    def calls() -> Iterator[Inputs]:
        return map(whole.call_of, batches())

    sites = next((whole.sites(inputs) for inputs in calls()), None)
    if sites is None:
        raise DataError("repair: expected at least one batch, found none; give data with examples")
    seen = [output_moments(program, model, batches(), correctable) for model in models]
    chosen = [site for site in correctable(sites) if all(site.weight in each for each in seen)]
    repaired, corrected, settled = dict(state), {}, -1
    for done, site in enumerate(chosen, 1):
        if any(settled < number < site.number for number in sites.norms):
            repaired, settled = reset_on_calls(whole, repaired, calls()), site.number
        own = output_moments(whole, repaired, calls(), lambda sites, site=site: _same(sites, site))[site.weight]
        mean, deviation = _target(site, [each[site.weight] for each in seen], shares, homes)
        changed, corrected[site.weight] = _corrected(repaired, site, own, mean, deviation)
        repaired |= changed
        if progress is not None:
            progress(done, len(chosen), site.weight)
    if any(settled < number for number in sites.norms):
        repaired = reset_on_calls(whole, repaired, calls())
    return Repaired(repaired, corrected)


def correctable(sites: Sites) -> list[Site]:
    """The layers whose units are rescaled themselves, and not by a batch norm behind them."""
    return [site for site in sites.alone if site.norm is None]


def _same(sites: Sites, site: Site) -> list[Site]:
    """A site among those on inputs of another shape."""
    return [each for each in sites.sites if each.weight == site.weight]


def _target(
    site: Site, seen: Sequence[ChannelMoments], shares: Sequence[float], homes: Homes | None
) -> tuple[Tensor, Tensor]:
    """The mean of the means of every unit, and that of its standard deviations."""

    def mean(values: list[Tensor]) -> Tensor:
        weighed = [share * each for share, each in zip(shares, values, strict=True)]
        whole = [torch.full_like(each, share) for share, each in zip(shares, values, strict=True)]
        least = torch.finfo(torch.float64).tiny
        return mean_made(homes, site, weighed, 0) / mean_made(homes, site, whole, 0).clamp(min=least)

    means = []
    for each in seen:
        assert each.mean is not None
        means.append(each.mean)
    return mean(means), mean([each.deviation() for each in seen])


def _corrected(
    state: State, site: Site, own: ChannelMoments, mean: Tensor, deviation: Tensor
) -> tuple[dict[str, Tensor], Correction]:
    """The tensors of a layer whose living units have this mean and standard deviation, and what was done."""
    assert own.mean is not None
    before = own.deviation()
    alive = (before > 0) & (deviation > 0)
    gain = torch.where(alive, deviation / before, 1.0)
    weight = state[site.weight]
    along = [-1 if dim == site.made else 1 for dim in range(weight.dim())]
    found = {site.weight: (weight.double() * gain.reshape(along)).to(weight)}
    if site.bias is not None:
        bias = state[site.bias]
        found[site.bias] = torch.where(alive, (bias.double() - own.mean) * gain + mean, bias.double()).to(bias)
    middle = float(gain[alive].median()) if bool(alive.any()) else 1.0
    return found, Correction(len(alive), int((~alive).sum()), middle, site.bias is not None)
