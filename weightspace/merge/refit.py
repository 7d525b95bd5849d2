"""Layers of a merged network solved for, so that each gives what those of the networks it was merged from give.

Averaged weights do not compute averaged features, not even after alignment. Every layer that multiplies by a parameter
is linear in it, so the weights that come closest follow in closed form from unlabelled data (PLeaS: Nasery et al. 2024,
section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.errors import DataError
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
        state |= plain(state, site, fitted)
        residuals[site.weight] = fitted.residual
        if progress is not None:
            progress(done, len(sites), site.weight)
    return Refitted(state, residuals)


def plain(state: State, site: Site, fitted: Fitted) -> dict[str, Tensor]:
    """The tensors of a layer that was solved for."""
    found = {site.weight: fitted.weight.to(state[site.weight])}
    if site.bias is not None:
        found[site.bias] = fitted.bias.to(state[site.bias])
    return found
