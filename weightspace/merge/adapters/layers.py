"""Which modules of a network an adapter can change by a low rank, told by their classes as PEFT does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

LayerKind = Literal["linear", "swapped", "conv", "embedding"]


@dataclass(frozen=True)
class Layers:
    """The modules of a network.

    Attributes:
        kinds: Modules that an adapter can change by a low rank -> how.
        names: All modules but the network itself.
        ties: Names of tensors that stand for the tensor of another name.
    """

    kinds: Mapping[str, LayerKind]
    names: tuple[str, ...]
    ties: Mapping[str, str]


def layers_of(network: nn.Module) -> Layers:
    """The modules of a network, which may be on the meta device."""
    first: dict[int, str] = {}
    ties: dict[str, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and first.setdefault(id(tensor), name) != name:
            ties[name] = first[id(tensor)]
    modules = {name: module for name, module in network.named_modules() if name}
    kinds: dict[str, LayerKind] = {}
    for name, module in modules.items():
        kind = _kind(module)
        if kind is not None:
            kinds[name] = kind
    return Layers(kinds, tuple(modules), ties)


def _kind(module: nn.Module) -> LayerKind | None:
    # Not subclasses: PEFT knows some of them (the projections inside of MultiheadAttention) by other rules.
    if type(module) is nn.Linear:
        return "linear"
    if type(module) is nn.Embedding:
        return "embedding"
    if type(module) in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return "conv" if getattr(module, "groups", 1) == 1 else None
    return "swapped" if type(module).__name__ == "Conv1D" else None
