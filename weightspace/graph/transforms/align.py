"""Graphs aligned to a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from typing_extensions import override

from weightspace.align import align
from weightspace.align.check import check_kinds, check_restarts
from weightspace.graph.convert import to_graph, to_tensors
from weightspace.graph.layout import GraphLayout
from weightspace.graph.transforms.weights import WeightTransform


class AlignTo(WeightTransform):
    """Brings the weights of a graph as close to a template as its symmetries can (see `weightspace.align`).

    Args:
        layout: That the graphs were made with.
        template: Weights of a network of the same spec, by name; read once.
        kinds: Kinds of symmetry to use, permutation among them.
        restarts: Number of starts of the search; the best result is kept.

    Raises:
        SpecError: If the template or a graph belongs to another spec.
        AlignmentError: If a kind is unknown, there are no restarts, or weights hold NaN or infinity.
    """

    def __init__(
        self,
        layout: GraphLayout,
        template: Mapping[str, Tensor],
        *,
        kinds: Sequence[str] = ("permutation",),
        restarts: int = 10,
    ) -> None:
        super().__init__(layout)
        check_kinds(kinds)
        check_restarts(restarts)
        self.kinds, self.restarts = tuple(kinds), restarts
        self._template = to_tensors(layout, to_graph(layout, template)) | self._buffers

    @override
    def change(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        found = align(self._template, tensors, self.layout.spec, kinds=self.kinds, restarts=self.restarts)
        return found.apply(tensors)

    def __repr__(self) -> str:
        return f"AlignTo({', '.join(self.kinds)})"
