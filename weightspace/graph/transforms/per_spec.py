"""One transform for each architecture of a dataset."""

from __future__ import annotations

from torch_geometric.transforms import BaseTransform
from typing_extensions import override

from weightspace.errors import SpecError
from weightspace.graph.data import ParameterGraph
from weightspace.graph.transforms.weights import WeightTransform, on_each


class PerSpec(BaseTransform):
    """Of several transforms applies the one that belongs to the spec of a graph.

    `PerSpec(*map(Canonicalize, dataset.layouts.values()))` does for all networks of a dataset.

    Args:
        transforms: One for each spec.
    """

    def __init__(self, *transforms: WeightTransform) -> None:
        self.transforms = {each.layout.spec.hash: each for each in transforms}

    @override
    def forward(self, data: ParameterGraph) -> ParameterGraph:
        """A graph, or a batch of graphs of several specs, with other weights.

        Raises:
            SpecError: There is no transform for the spec of a graph.
        """
        return on_each(data, self._changed)

    def _changed(self, graph: ParameterGraph) -> ParameterGraph:
        if graph.spec_hash not in self.transforms:
            raise SpecError(
                f"expected a graph of one of {len(self.transforms)} specs, found one of spec {graph.spec_hash[:12]}; "
                "give a transform for that, too"
            )
        return self.transforms[graph.spec_hash](graph)

    def __repr__(self) -> str:
        return f"PerSpec({', '.join(map(repr, self.transforms.values()))})"
