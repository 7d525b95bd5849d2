"""What an adapter does to its base: low-rank changes by module, and tensors that it brings whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from weightspace.checkpoint import Adapter, check_finite
from weightspace.errors import CheckpointFormatError
from weightspace.merge.adapters.low_rank import Kind, LowRank, low_rank
from weightspace.merge.adapters.names import is_named, part_of, whole_name
from weightspace.merge.adapters.settings import LoraSettings, settings_of


@dataclass(frozen=True)
class Delta:
    """What an adapter does.

    Attributes:
        path: Where it was read.
        settings: Its configuration.
        changes: By the names of modules.
        whole: Tensors that were trained whole or copied from the base: their names there -> as the adapter has them.
        dropped: Names of tensors that were left out of these, as wanted.
        tensors: The tensors of the adapter, by the names that PEFT gave them.
    """

    path: Path
    settings: LoraSettings
    changes: Mapping[str, LowRank]
    whole: Mapping[str, str]
    dropped: tuple[str, ...]
    tensors: Mapping[str, Tensor]


def delta_of(adapter: Adapter, *, drop: tuple[str, ...] = ()) -> Delta:
    """What an adapter does to its base.

    Args:
        adapter: Opened.
        drop: Modules to leave out, by the last components of their names.

    Raises:
        CheckpointFormatError: If the configuration is not understood, or the tensors do not fit it or each other.
        CheckpointMismatchError: If a number is not finite.
    """
    check_finite(adapter.tensors)
    settings = settings_of(adapter)
    parts: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for stored in adapter.tensors:
        part = part_of(stored)
        if part is None and "lora_" in stored:
            raise CheckpointFormatError(
                f"{adapter.path}: tensor '{stored}': expected a part of LoRA as PEFT names it, found none; merge the "
                "adapter into its base with PEFT, then extract one from that"
            )
        group, key = (whole, whole_name(stored)) if part is None else (parts.setdefault(part.module, {}), part.part)
        if key in group:
            raise CheckpointFormatError(
                f"{adapter.path}: expected one adapter in it, found '{group[key]}' and '{stored}'; save one of them"
            )
        group[key] = stored
    changes = {module: _change(adapter, settings, module, found) for module, found in parts.items()}
    kept = {module: change for module, change in changes.items() if not is_named(module, drop)}
    rest = {name: stored for name, stored in whole.items() if not is_named(name.rpartition(".")[0], drop)}
    dropped = tuple(name for name in whole if name not in rest)
    return Delta(adapter.path, settings, kept, rest, dropped, adapter.tensors)


def _change(adapter: Adapter, settings: LoraSettings, module: str, parts: Mapping[str, str]) -> LowRank:
    """The change of one module from its tensors."""
    ends = ("lora_embedding_A", "lora_embedding_B") if "lora_embedding_A" in parts else ("lora_A", "lora_B")
    missing = [end for end in ends if end not in parts]
    if missing or len({"lora_A", "lora_embedding_A"} & set(parts)) > 1:
        raise CheckpointFormatError(
            f"{adapter.path}: module '{module}': expected {' and '.join(ends)}, found {', '.join(parts)}; complete the "
            "download"
        )
    a, b = (adapter.tensors[parts[end]] for end in ends)
    kind: Kind = "embedding" if ends[0] != "lora_A" else "conv" if a.dim() > 2 else "linear"
    rank = settings.rank_of(module)
    if not (a.dim() >= 2 and a.shape[0] == rank and b.dim() == a.dim() and tuple(b.shape[1:]) == (rank, *_ones(a))):
        raise CheckpointFormatError(
            f"{adapter.path}: module '{module}': expected factors of rank {rank} as its configuration says, found "
            f"shapes {tuple(a.shape)} and {tuple(b.shape)}; restore the configuration"
        )
    magnitude, bias = (
        adapter.tensors[parts[end]] if end in parts else None for end in ("lora_magnitude_vector", "lora_B.bias")
    )
    if (magnitude is not None) != bool(adapter.config.get("use_dora", False)):
        raise CheckpointFormatError(
            f"{adapter.path}: module '{module}': expected magnitudes if and only if use_dora is true in its "
            f"configuration, found {'none' if magnitude is None else 'some'}; restore the configuration"
        )
    for name, vector in (("lora_magnitude_vector", magnitude), ("lora_B.bias", bias)):
        if vector is not None and (vector.numel() != b.shape[0] or kind == "embedding"):
            raise CheckpointFormatError(
                f"{adapter.path}: tensor '{parts[name]}': expected a number per output of a layer with {b.shape[0]}, "
                f"found shape {tuple(vector.shape)}{' for an embedding' * (kind == 'embedding')}; merge the adapter "
                "into its base with PEFT, then extract one from that"
            )
    return low_rank(kind, a, b, settings.scaling_of(module), bias, magnitude)


def _ones(a: Tensor) -> tuple[int, ...]:
    return (1,) * (a.dim() - 2)
