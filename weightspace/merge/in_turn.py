"""Layers of a merged network solved for one after the other, each on what reaches it in the merged network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from weightspace.errors import DataError
from weightspace.merge.blocks import kept
from weightspace.merge.homes import Homes, mean_made
from weightspace.merge.refit import RIDGE, Refitted, plain
from weightspace.merge.runs import Runs
from weightspace.merge.wide import Wide
from weightspace.source import Inputs, Program
from weightspace.source.watching import Passing
from weightspace.stats.linear import Fitted, LinearMoments
from weightspace.symmetry.sites import Site

State = Mapping[str, Tensor]
SAMPLES = 200  # per input of a layer: a ResNet-20 came out the same with ten times as many, and with half


def refit_in_turn(
    program: Program,
    models: Sequence[State],
    start: State,
    batches: Callable[[], Iterable[Inputs]],
    *,
    wide: Wide | None = None,
    ridge: float = RIDGE,
    progress: Callable[[int, int, str], None] | None = None,
) -> Refitted:
    """Solves layer after layer, each on what reaches it in the merged network as it has become.

    Targets are the mean of what the layer gives in the networks, after the batch norm that follows it if there is one:
    this then passes on what the layer gives. At the end of a residual branch the target is the mean of the whole
    stream, less what the stream holds already in the merged network, so that errors do not add up along it. Of layers
    with very many rows, such as convolutions over many positions, a random choice counts.

    Args:
        program: The network of the models.
        models: Weights that are aligned to each other.
        start: The merged weights; of the wide network, where there is one.
        batches: Starts a pass over unlabelled calls of the network, the same ones every time.
        wide: The merged network, where it has another width than that of the models.
        ridge: See `weightspace.merge.refit.refit`.
        progress: Called with (layers done, layers, what is going on).

    Raises:
        DataError: No batch.
        SourceError: The network runs other operators than its trace.
    """
    calls = list(batches())
    if not calls:
        raise DataError("least squares: expected at least one batch, found none; give data with examples")
    homes, blocks = (None, {}) if wide is None else (wide.homes, kept(wide))
    runs = Runs(program, models, calls, merged=program if wide is None else wide.program, start=start)
    state, residuals = dict(start), {}
    for at, name in enumerate(runs.names):
        site = runs.site(name)
        moments: LinearMoments | None = None
        for own, others in runs.passing(state, name):
            moments = moments or LinearMoments(site, share=_share(site, own, len(calls)))
            moments.add(own.inputs, _target(site, homes, own, *others))
        assert moments is not None
        parts = [(block.made, block.read) for block in blocks[name]] if name in blocks else None
        fitted = moments.solve(_scaled(state, site), ridge=ridge, blocks=parts)
        state |= _normed(state, site, fitted) if _follows(site) else plain(state, site, fitted)
        residuals[site.weight] = fitted.residual
        if progress is not None:
            progress(at + 1, len(runs.names), site.weight)
    return Refitted(state, residuals)


def _share(site: Site, own: Passing, calls: int) -> float:
    """Share of the rows that suffices."""
    inputs = own.inputs.shape[1] * (1 if site.convolution is None else math.prod(site.convolution.kernel))
    rows = own.output.numel() // own.output.shape[1] * calls
    return SAMPLES * (inputs + 1) / rows


def _target(site: Site, homes: Homes | None, own: Passing, *others: Passing) -> Tensor:
    """What a layer of the merged network ought to give, from what passes there and in the other networks."""
    if site.sum is not None and (site.norm is None or _follows(site)):
        return mean_made(homes, site, [other.summed for other in others], 1) - (own.summed - own.normed)
    return mean_made(homes, site, [other.normed if _follows(site) else other.output for other in others], 1)


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
