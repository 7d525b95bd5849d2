"""Modules that adapters brought whole, merged: norms, classifiers, and what else was trained beside low ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import CheckpointFormatError, MergeError
from weightspace.merge.adapters.delta import Delta
from weightspace.merge.adapters.names import PREFIX, saved_module


@dataclass(frozen=True)
class Whole:
    """Tensors of modules that are saved whole.

    Attributes:
        tensors: By the names that PEFT stores.
        modules: For `modules_to_save`.
        partial: Names of those that only some adapters have.
    """

    tensors: Mapping[str, Tensor]
    modules: tuple[str, ...]
    partial: tuple[str, ...]


def merged_whole(deltas: Sequence[Delta], weights: object) -> Whole:
    """The weighted mean of every tensor among the adapters that have it.

    Args:
        deltas: The adapters.
        weights: A number for all, or one for each.

    Raises:
        MergeError: If shapes differ, weights sum to 0, or a module was dropped that PEFT would look for.
        CheckpointFormatError: If it is not clear why an adapter has a tensor.
    """
    each = list(weights) if isinstance(weights, Sequence) else [1.0] * len(deltas)
    tensors: dict[str, Tensor] = {}
    modules: dict[str, None] = {}
    partial = []
    for name in dict.fromkeys(name for delta in deltas for name in delta.whole):
        having = [(delta, weight) for delta, weight in zip(deltas, each, strict=True) if name in delta.whole]
        if len(having) < len(deltas):
            partial.append(name)
        stored = having[0][0].whole[name]
        module = saved_module(name, [end for delta, _ in having for end in delta.settings.modules_to_save])
        if module is not None:
            modules[module] = None
        elif ".base_layer." not in stored and not (name.endswith(".bias") and having[0][0].settings.bias != "none"):
            raise CheckpointFormatError(
                f"{having[0][0].path}: tensor '{stored}': expected a part of LoRA or modules_to_save, found neither; "
                "drop its module, or fuse the adapter into its base"
            )
        tensors[stored if ".base_layer." in stored else f"{PREFIX}{name}"] = _mean(
            name, [delta.tensors[delta.whole[name]] for delta, _ in having], [weight for _, weight in having]
        )
    _check_dropped(deltas, tuple(modules))
    return Whole(tensors, tuple(modules), tuple(partial))


def _mean(name: str, tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    if len({tensor.shape for tensor in tensors}) > 1:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise MergeError(
            f"tensor '{name}': expected one shape in all adapters that saved it whole, found {shapes}; drop its module"
        )
    if len(tensors) == 1 or not tensors[0].is_floating_point():
        return tensors[0]
    if abs(sum(weights)) < 1e-8:
        raise MergeError(f"tensor '{name}': expected weights whose sum is not 0 for its mean, found {list(weights)}")
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor, weight in zip(tensors, weights, strict=True):
        total.add_(tensor.double(), alpha=weight / sum(weights))
    return total.to(tensors[0].dtype)


def _check_dropped(deltas: Sequence[Delta], modules: tuple[str, ...]) -> None:
    """Refuses to drop a module that PEFT takes for one that is kept, since it would miss its tensors."""
    for name in (name for delta in deltas for name in delta.dropped):
        found = saved_module(name, modules)
        if found is not None:
            kept = next(module for module in modules if found.endswith(module))
            raise MergeError(
                f"module '{found}': expected it to be kept, since to PEFT '{kept}' in modules_to_save means it, too, "
                f"found it dropped; drop '{kept}' as well"
            )
