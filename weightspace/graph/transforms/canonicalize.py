"""Graphs in canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor
from typing_extensions import override

from weightspace.canonical import DEFAULT_KINDS, canonicalize, check_kinds
from weightspace.graph.layout import GraphLayout
from weightspace.graph.transforms.weights import WeightTransform


class Canonicalize(WeightTransform):
    """Brings the weights of a graph to one representative of their orbit (see `weightspace.canonical`).

    Args:
        layout: That the graphs were made with.
        kinds: Kinds of symmetry to use.

    Raises:
        SpecError: If a kind is unknown, or a graph belongs to another spec or holds NaN or infinity.
    """

    def __init__(self, layout: GraphLayout, kinds: Iterable[str] = DEFAULT_KINDS) -> None:
        super().__init__(layout)
        self.kinds = check_kinds(kinds)

    @override
    def change(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return canonicalize(tensors, self.layout.spec, self.kinds).tensors

    def __repr__(self) -> str:
        return f"Canonicalize({', '.join(self.kinds)})"
