"""A merged network of a given size, between one network and all of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.merge.budget import Budget, choose, evenly, largest
from weightspace.merge.homes import Homes
from weightspace.merge.losing import Losing
from weightspace.merge.size import Measure, size_of
from weightspace.merge.wide import Wide
from weightspace.merge.widening import widening_of
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Sized:
    """A merged network of a given size, before its weights are solved for.

    Attributes:
        wide: The network.
        budget: Which share of every group is kept apart, and the size.
        refused: Why other groups do not grow.
    """

    wide: Wide
    budget: Budget
    refused: Mapping[str, str]


def sized(
    program: Program,
    models: Sequence[State],
    spec: Spec,
    calls: Sequence[Inputs],
    *,
    size: float | None = None,
    shares: Mapping[str, float] | None = None,
    measure: Measure = "parameters",
    configured: Callable[[Mapping[str, tuple[int, ...]]], bool] = lambda _: False,
) -> Sized:
    """Chooses which units are kept apart, and builds the network.

    Args:
        program: The network of the models.
        models: Weights that are aligned to each other.
        spec: Their symmetry.
        calls: Calls of the network, to measure on; a few hundred examples will do.
        size: Largest size, relative to that of one network.
        shares: In place of a size the share kept apart of some groups.
        measure: What the size counts.
        configured: Whether a library can build the network with parameters of given shapes. If it can with more
            units in all groups that nothing is nested in, and these suffice, each keeps the same share apart.

    Raises:
        SpecError: No group may grow, a group that is named may not, or the size cannot be had.
        SourceError: `torch.export` does not understand the network.
    """
    widening = widening_of(program, spec)
    if not widening.groups:
        reason = next(iter(widening.refused.values()), "it has none")
        raise SpecError(f"size: expected a network with groups that may grow, found none ({reason}); merge at size 1")
    for name in shares or ():
        if name not in widening.groups:
            reason = widening.refused.get(name, "there is none of that name")
            raise SpecError(f"group '{name}': expected one that may grow ({', '.join(widening.groups)}): {reason}")
    losing = Losing(program, models, spec, widening, calls)
    whole = size_of(program, spec, widening.reads, measure, len(models))
    if shares is not None:
        budget = Budget(shares, whole.at(shares) / whole.one)
    else:
        wanted = 1.0 if size is None else size
        plain = [name for name in widening.groups if not any(name in other.depends_on for other in spec.all_groups)]
        suffice = bool(plain) and wanted <= largest(whole, plain)
        even = suffice and configured(_shapes(program, spec, plain, len(models)))
        budget = evenly(whole, plain, wanted) if even else choose(whole, losing.losses, wanted)
    homes = Homes.partial(spec, losing.apart(budget.shares), len(models))
    return Sized(Wide.of(widening, homes, models), budget, widening.refused)


def _shapes(program: Program, spec: Spec, groups: Sequence[str], networks: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters with all units of some groups kept apart."""
    apart = {group.name: torch.ones(group.size, dtype=torch.bool) for group in spec.groups if group.name in groups}
    homes = Homes.partial(spec, apart, networks)
    known = {name: spec.tensors[name].axes for name in program.parameter_names if name in spec.tensors}
    return {name: tuple(homes.axis(axis).size for axis in axes) for name, axes in known.items()}
