"""Networks of one spec side by side: what graph metanetworks read fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.graph import GraphLayout


@dataclass(frozen=True)
class Stacked:
    """A batch of networks of one spec.

    Attributes:
        layout: Of their parameter graph.
        tensors: Parameters and running statistics by name, (networks, *shape).

    Raises:
        SpecError: A tensor is missing or has another shape.
    """

    layout: GraphLayout
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        for name in self.layout.names:
            expected, found = self.layout.spec.tensors[name].shape, self.tensors.get(name)
            if found is None or tuple(found.shape[1:]) != expected:
                shape = "none" if found is None else str(tuple(found.shape[1:]))
                raise SpecError(f"tensor '{name}': expected networks of shape {expected}, found {shape}")

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
