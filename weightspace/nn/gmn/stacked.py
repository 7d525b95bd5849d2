"""Networks of one spec side by side: what graph metanetworks read fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.graph import GraphLayout
from weightspace.nn.batch import networks_in


@dataclass(frozen=True)
class Stacked:
    """A batch of networks of one spec.

    Attributes:
        layout: Of their parameter graph.
        tensors: Parameters and running statistics by name, (networks, *shape).

    Raises:
        SpecError: A tensor is missing, has another shape, or holds another number of networks.
    """

    layout: GraphLayout
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        networks_in(self.tensors, {name: self.layout.spec.tensors[name].shape for name in self.layout.names})

    @classmethod
    def of(cls, layout: GraphLayout, networks: Sequence[Mapping[str, Tensor]]) -> Stacked:
        """Stacks state dicts; what else they hold is left out."""
        missing = next((name for name in layout.names for each in networks if name not in each), None)
        if missing is not None:
            raise SpecError(
                f"tensor '{missing}': expected in every network, found none; take the spec of these networks"
            )
        return cls(layout, {name: torch.stack([each[name] for each in networks]) for name in layout.names})

    def __len__(self) -> int:
        return len(self.tensors[self.layout.names[0]])
