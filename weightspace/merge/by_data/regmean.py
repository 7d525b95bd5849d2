"""RegMean: every linear layer gives what those of all models give on their inputs, as nearly as one layer can.

Jin et al. 2023, Dataless Knowledge Fusion by Merging Weights of Language Models, section 3 (eq. 2 and the scaling of
what lies off the diagonals). There for linear layers; convolutions are linear in their patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import DataError, MergeError
from weightspace.merge.interpolate import average
from weightspace.source import Inputs, Program
from weightspace.stats.gram import Gram
from weightspace.stats.semidefinite import solved
from weightspace.symmetry.sites import Site

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class RegMean:
    """A merged network.

    Attributes:
        state: Its weights, in float32 or wider.
        solved: Names of the weights that were solved for; all others are means.
    """

    state: dict[str, Tensor]
    solved: tuple[str, ...]


def regmean(
    program: Program,
    models: Sequence[State],
    batches: Sequence[Callable[[], Iterable[Inputs]]],
    *,
    alpha: float = 0.9,
    ridge: float = 1e-6,
    progress: Callable[[int, int, str], None] | None = None,
) -> RegMean:
    """Merges networks layer by layer: W = (sum G_i)^-1 sum G_i W_i, with G_i the products of the inputs of model i.

    G_i is a mean over rows, so that models count equally, however many examples each has. Solved is for the distance
    from the mean of the weights, which stay that where the data say nothing (dead inputs). Biases, norms, embeddings
    and weights that are used more than once are means.

    Args:
        program: The network.
        models: Weights in one coordinate system, tied ones once. Held is one at a time where they are read lazily.
        batches: For every model what starts a pass over unlabelled calls of the network: its own data, or those of all.
        alpha: What products of different inputs are scaled by.
        ridge: How much the mean of the weights counts, relative to the mean square of an input.
        progress: Called with (models done, models, what is going on).

    Raises:
        DataError: There is no batch for a model.
        MergeError: There are not as many passes as models.
        SourceError: The network runs other operators than its trace.
    """
    if len(batches) != len(models):
        raise MergeError(f"RegMean: expected data for each of {len(models)} models, found {len(batches)}")
    mean = average(models)
    sites: dict[int, Site] = {}
    left: dict[int, Tensor] = {}
    right: dict[int, Tensor] = {}
    for done, (model, calls) in enumerate(zip(models, batches, strict=True)):
        if progress is not None:
            progress(done, len(models), f"inputs of model {done + 1}")
        for number, (site, gram) in _grams(program, model, calls).items():
            sites[number] = site
            scaled = alpha * gram + (1 - alpha) * torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
            change = _rows(site, model[site.weight].double() - mean[site.weight].double(), len(gram))
            left[number] = left.get(number, 0) + scaled
            right[number] = right.get(number, 0) + change @ scaled
    state = dict(mean)
    for number, site in sites.items():
        whole = left.pop(number)
        pull = ridge * whole.diagonal(dim1=-2, dim2=-1).mean(-1)
        eye = torch.eye(whole.shape[-1], dtype=whole.dtype, device=whole.device)
        change = solved(whole + pull[:, None, None] * eye, right.pop(number).mT).mT
        plain = mean[site.weight]
        shaped = change.reshape(plain.mT.shape).mT if site.transposed else change.reshape(plain.shape)
        state[site.weight] = (plain.double() + shaped).to(plain.dtype)
    return RegMean(state, tuple(site.weight for site in sites.values()))


def _grams(program: Program, model: State, calls: Callable[[], Iterable[Inputs]]) -> dict[int, tuple[Site, Tensor]]:
    """The products of the inputs of every layer of a model that nothing else shares a tensor with."""
    found: dict[int, tuple[Site, Gram]] = {}
    state, seen = dict(model), False
    for inputs in calls():
        seen = True
        sites = program.sites(inputs)
        program.watch(
            state, inputs, sites, sites.alone,
            lambda site, passing: found.setdefault(site.number, (site, Gram(site)))[1].add(passing.inputs),
        )  # fmt: skip
    if not seen:
        raise DataError("RegMean: expected at least one batch for every model, found none; give data with examples")
    return {number: (site, gram.matrix) for number, (site, gram) in found.items()}


def _rows(site: Site, weight: Tensor, groups: int) -> Tensor:
    """A weight as (groups, out / groups, what goes into one of these)."""
    wide = weight.mT if site.transposed else weight
    return wide.reshape(groups, wide.shape[0] // groups, -1)
