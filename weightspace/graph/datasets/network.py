"""What a dataset is told about one of its networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from weightspace.checkpoint import Checkpoint
from weightspace.source import Source
from weightspace.symmetry import Spec


@dataclass(frozen=True)
class Network:
    """One network of a dataset.

    Attributes:
        weights: Its checkpoint (a file, or one that is open), or its state dict.
        architecture: Its spec, its source, or what `weightspace.source.resolve_source` understands, such as
            `"timm:resnet18"`. None: what lies beside the checkpoint, else a plain stack inferred from its tensors.
        targets: What is known of it, by the name of the metric; finite numbers.
    """

    weights: Mapping[str, Tensor] | str | os.PathLike[str]
    architecture: Spec | Source | str | None = None
    targets: Mapping[str, float] = field(default_factory=dict)

    def label(self, place: int) -> str:
        """What messages call it: its file, else its place in the list."""
        if isinstance(self.weights, Checkpoint):
            return str(self.weights.path)
        return f"network {place}" if isinstance(self.weights, Mapping) else os.fspath(self.weights)
