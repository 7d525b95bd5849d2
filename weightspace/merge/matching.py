"""How far the features of a merged network are from the mean ones of its origins, with gradients.

An example has one row of outputs but thousands of features: where examples are few, these hold more to learn from. On
networks without residual streams that was measured to gain nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import SourceError
from weightspace.merge.homes import Homes, mean_made
from weightspace.source import Inputs, Program
from weightspace.source.walking import Plan

State = Mapping[str, Tensor]


class FeatureMatching:
    """Features at the ends of residual branches in several networks.

    Attributes:
        names: Weights of the layers there; none without such branches, or where a graph does not show them.
    """

    def __init__(
        self, program: Program, models: Sequence[State], student: Program, homes: Homes | None, first: Inputs
    ) -> None:
        """Finds the layers, and measures the spread of their features on a call.

        Args:
            program: The network of the models.
            models: Weights that are aligned to each other.
            student: The merged network.
            homes: Where the units of the models go in it; by default each to its counterpart.
            first: A call of the network of the models.
        """
        self._models, self._homes = models, homes
        sites = {site.weight: site for site in student.sites(student.call_of(first)).alone}
        ends = {name: site for name, site in sites.items() if site.sum is not None}
        self.names: tuple[str, ...] = ()
        if not ends:
            return
        try:
            self._plan, self._own = (Plan(p.exported(), [*ends.values()]) for p in (program, student))
        except SourceError:
            return
        if self._plan.places.keys() >= ends.keys() <= self._own.places.keys():
            self.names, self._sites = tuple(ends), ends
            self._scales = {name: 1.0 / max(float(t.var()), _TINY) for name, t in self.targets(first).items()}

    def targets(self, inputs: Inputs) -> dict[str, Tensor]:
        """The mean features of the models on a call."""
        with torch.no_grad():
            found = [self._plan.ends(model, inputs)[1] for model in self._models]
        return {name: self._mean(name, [each[name] for each in found]) for name in self.names}

    def run(self, state: State, inputs: Inputs, targets: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs of the merged network, and the mean distance of its features from targets over their variance."""
        outputs, found = self._own.ends(state, inputs)
        far = [self._scales[name] * (found[name] - targets[name]).square().mean() for name in self.names]
        return outputs, torch.stack(far).mean()

    def _mean(self, name: str, values: list[Tensor]) -> Tensor:
        site = self._sites[name]
        return mean_made(self._homes, site, values, -1 if site.convolution is None else 1)


_TINY = torch.finfo(torch.float32).tiny
