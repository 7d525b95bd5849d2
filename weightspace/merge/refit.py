"""Layers of a merged network solved for, so that each gives what those of the networks it was merged from give.

Averaged weights do not compute averaged features, not even after alignment. Every layer that multiplies by a parameter
is linear in it, so the weights that come closest follow in closed form from unlabelled data (PLeaS: Nasery et al. 2024,
section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import DataError
from weightspace.merge.homes import Homes
from weightspace.source import Inputs, Program
from weightspace.source.watching import Passing
from weightspace.stats.linear import Fitted, LinearMoments
from weightspace.symmetry.sites import Site

State = Mapping[str, Tensor]
RIDGE = 1e-4


@dataclass(frozen=True)
class Refitted:
    """A merged network with layers that were solved for.

    Attributes:
        state: Its weights.
        residuals: For every weight what is left of its targets, as a share of their variance.
    """

    state: dict[str, Tensor]
    residuals: Mapping[str, float]


def refit(
    program: Program,
    models: Sequence[State],
    start: State,
    batches: Callable[[], Iterable[Inputs]],
    *,
    ridge: float = RIDGE,
    progress: Callable[[int, int, str], None] | None = None,
) -> Refitted:
    """Solves every layer for the mean features of some networks, all layers in one pass.

    Inputs are the mean inputs of the layer in the networks, targets the mean of what it gives there, before norms.
    Layers that share a tensor (with a table of embeddings, or with themselves where they run twice) stay as they are.

    Args:
        program: The network.
        models: Weights that are aligned to each other.
        start: The merged weights, such as their mean.
        batches: Starts a pass over unlabelled calls of the network.
        ridge: See `weightspace.stats.linear.LinearMoments.solve`.
        progress: Called with (layers done, layers, what is going on).

    Raises:
        DataError: No batch.
        SourceError: The network runs other operators than its trace.
    """
    moments: dict[int, LinearMoments] = {}
    sites: dict[int, Site] = {}
    number = None
    for number, inputs in enumerate(batches(), 1):
        found = program.sites(inputs)
        sums: dict[int, tuple[Tensor, Tensor]] = {}

        def add(site: Site, passing: Passing, sums: dict = sums) -> None:
            here = passing.inputs, passing.output
            before = sums.get(site.number)
            sums[site.number] = here if before is None else (before[0] + here[0], before[1] + here[1])

        for model in models:
            program.watch(model, inputs, found, found.alone, add)
        for site in found.alone:
            x, y = sums.pop(site.number)
            sites[site.number] = site
            moments.setdefault(site.number, LinearMoments(site)).add(x / len(models), y / len(models))
        if progress is not None:
            progress(0, len(found.alone), f"batch {number}")
    if number is None:
        raise DataError("least squares: expected at least one batch, found none; give data with examples")
    state, residuals = dict(start), {}
    for done, (at, site) in enumerate(sites.items(), 1):
        fitted = moments[at].solve(state[site.weight], ridge=ridge)
        state |= _plain(state, site, fitted)
        residuals[site.weight] = fitted.residual
        if progress is not None:
            progress(done, len(sites), site.weight)
    return Refitted(state, residuals)


def refit_in_turn(
    program: Program,
    models: Sequence[State],
    start: State,
    batches: Callable[[], Iterable[Inputs]],
    *,
    homes: Homes | None = None,
    ridge: float = RIDGE,
    progress: Callable[[int, int, str], None] | None = None,
) -> Refitted:
    """Solves layer after layer, each on what reaches it in the merged network as it has become.

    Targets are the mean of what the layer gives in the networks, after the batch norm that follows it if there is one:
    this then passes on what the layer gives. At the end of a residual branch the target is the mean of the whole
    stream, less what the stream holds already in the merged network, so that errors do not add up along it.

    Args:
        program: As for `refit`, and so are the others.
        models: Weights that are aligned to each other.
        start: The merged weights.
        batches: Starts a pass over unlabelled calls of the network, the same ones every time.
        homes: Where their units go in the merged network; by default each with its counterpart.
        ridge: See `refit`.
        progress: Called with (layers done, layers, what is going on).

    Raises:
        DataError: No batch.
        SourceError: The network runs other operators than its trace.
    """
    calls = list(batches())
    if not calls:
        raise DataError("least squares: expected at least one batch, found none; give data with examples")
    state, residuals = dict(start), {}
    count = len(program.sites(calls[0]).alone)
    for at in range(count):
        site = program.sites(calls[0]).alone[at]
        moments = LinearMoments(site)
        for inputs in calls:
            found = program.sites(inputs)
            here = found.alone[at]
            seen: list[Passing] = []
            for model in (state, *models):
                program.watch(model, inputs, found, [here], lambda _, passing, seen=seen: seen.append(passing))
            moments.add(seen[0].inputs, _target(here, homes, *seen))
        fitted = moments.solve(_scaled(state, site), ridge=ridge)
        state |= _normed(state, site, fitted) if _follows(site) else _plain(state, site, fitted)
        residuals[site.weight] = fitted.residual
        if progress is not None:
            progress(at + 1, count, site.weight)
    return Refitted(state, residuals)


def _target(site: Site, homes: Homes | None, own: Passing, *others: Passing) -> Tensor:
    """What a layer of the merged network ought to give, from what passes there and in the other networks."""

    def mean(values: list[Tensor]) -> Tensor:
        if homes is None:
            return torch.stack(values).mean(0)
        made = homes.spec.tensors[site.weight].axes[1 if site.transposed else 0]
        return homes.mean(values, made, 1)

    if site.sum is not None and (site.norm is None or _follows(site)):
        return mean([other.summed for other in others]) - (own.summed - own.normed)
    return mean([other.normed if _follows(site) else other.output for other in others])


def _follows(site: Site) -> bool:
    """Whether targets are taken after a batch norm, whose scale and shift can pass them on."""
    return site.norm is not None and site.norm.affine and site.bias is None


def _scaled(state: State, site: Site) -> Tensor:
    """The weight together with the factors of the batch norm after it, which is what post-norm targets ask for."""
    weight = state[site.weight]
    if site.norm is None or not _follows(site):
        return weight
    factor = state[site.norm.scale] / (state[site.norm.variance] + site.norm.eps).sqrt()
    return weight * factor.reshape(-1, *[1] * (weight.dim() - 1))


def _plain(state: State, site: Site, fitted: Fitted) -> dict[str, Tensor]:
    found = {site.weight: fitted.weight.to(state[site.weight])}
    if site.bias is not None:
        found[site.bias] = fitted.bias.to(state[site.bias])
    return found


def _normed(state: State, site: Site, fitted: Fitted) -> dict[str, Tensor]:
    """The weight, and a batch norm whose statistics are those of the data and which adds the bias, no more."""
    assert site.norm is not None
    values = {
        site.weight: fitted.weight,
        site.norm.mean: fitted.mean,
        site.norm.variance: fitted.variance,
        site.norm.scale: (fitted.variance + site.norm.eps).sqrt(),
        site.norm.shift: fitted.mean + fitted.bias,
    }
    return {name: value.to(state[name]) for name, value in values.items()}
