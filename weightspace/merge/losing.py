"""What a merged network loses when units of a group are merged: what decides which of them are kept apart.

How much merging a group disturbs the outputs is measured on the network in which all other groups are kept apart, and
shared out among its pairs of units by how little alike they are. PLeaS (Nasery et al. 2024, section 4.1) measures each
layer on its own as well, by the accuracy, for which it needs labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from weightspace.align.similarity import similarities
from weightspace.merge.homes import Homes
from weightspace.merge.partial import least_alike
from weightspace.merge.wide import Wide
from weightspace.merge.widening import Widening
from weightspace.source import Inputs, Program
from weightspace.stats import by_batch
from weightspace.symmetry import Spec

State = Mapping[str, Tensor]
LEVELS = 8  # steps of the share that is kept apart
_LEAST = 1e-9  # of the variance of the outputs: merging is never for nothing


class Losing:
    """How much is lost by merging, on some calls."""

    def __init__(
        self, program: Program, models: Sequence[State], spec: Spec, widening: Widening, calls: Sequence[Inputs]
    ) -> None:
        """Measures.

        Args:
            program: The network of the models.
            models: Weights that are aligned to each other.
            spec: Their symmetry.
            widening: How their network grows.
            calls: Calls of the network.

        Raises:
            DataError: No call.
            SourceError: The network runs other operators than its trace.
        """
        self._spec, self._widening, self._models = spec, widening, models
        found = [similarities(program, models[0], other, spec, calls).of for other in models[1:]]
        self._alike = {group: torch.stack([each[group] for each in found]).mean(0) for group in found[0]}
        self._alike |= _of_heads(spec, self._alike)
        self._program, self._calls = program, calls

    @cached_property
    def losses(self) -> dict[str, list[float]]:
        """For every group that may grow what is lost when 0, 1/8, ..., all of its pairs are kept apart.

        The least alike come first. Distance of the outputs from the mean of those of the networks, over its deviation:
        squared distances would let the groups that matter most have nearly all, and their layers are solved for
        afterwards.
        """
        groups, found = self._widening.groups, {}
        base = self._distance(groups)
        for group in groups:
            loss = self._distance([other for other in groups if other != group]) - base
            found[group] = [max(loss, _LEAST) ** 0.5 * left for left in self._left(group)]
        return found

    def apart(self, shares: Mapping[str, float]) -> dict[str, Tensor]:
        """Which pairs of every group are kept apart, bool (n,), as `weightspace.merge.homes.Homes.partial` takes it."""
        return least_alike(self._alike, self._spec.identity(), shares)

    @cached_property
    def _targets(self) -> list[Tensor]:
        with by_batch():
            outputs = [[self._program.outputs(model, inputs)[0] for model in self._models] for inputs in self._calls]
        return [torch.stack(each).mean(0) for each in outputs]

    def _left(self, group: str) -> list[float]:
        """Share of the differences between matched units that is left when the least alike are kept apart."""
        size = next(each.size for each in self._spec.groups if each.name == group)
        if group not in self._alike:
            return [1.0 - level / LEVELS for level in range(LEVELS + 1)]
        alike = self._alike[group].cpu()[0].diagonal()
        differences = (alike.max() - alike + 1e-6).sort(descending=True).values.flip(0).cumsum(0).flip(0)
        kept = [level * size // LEVELS for level in range(LEVELS + 1)]
        left = [float(differences[count]) if count < size else 0.0 for count in kept]
        return [each / max(left[0], _LEAST) for each in left]

    def _distance(self, groups: Sequence[str]) -> float:
        """Squared distance of the outputs from the mean ones when all units of some groups are kept apart."""
        homes = Homes.partial(self._spec, self.apart(dict.fromkeys(groups, 1.0)), len(self._models))
        wide = Wide.of(self._widening, homes, self._models)
        distance = spread = 0.0
        for inputs, target in zip(self._calls, self._targets, strict=True):
            with by_batch():
                outputs = wide.program.outputs(wide.state, wide.program.call_of(inputs))[0]
            distance += float((outputs - target).square().mean())
            spread += float(target.var(correction=0))
        return distance / max(spread, torch.finfo(torch.float32).tiny)


def _of_heads(spec: Spec, alike: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For groups that others are nested in, such as heads: how alike what is inside of them is, on the diagonal."""
    found: dict[str, list[Tensor]] = {}
    for group in spec.groups:
        if len(group.depends_on) == 1 and group.name in alike:
            inside = alike[group.name].cpu()[0].diagonal()
            found.setdefault(group.depends_on[0], []).append(inside.reshape(-1, group.size).mean(1))
    return {name: torch.stack(each).mean(0).diag()[None] for name, each in found.items() if name not in alike}
