"""What the configuration of an adapter says about its tensors; what it says beyond that is refused, not passed over."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from weightspace.checkpoint import Adapter
from weightspace.errors import CheckpointFormatError

Number = TypeVar("Number", int, float)

# What a configuration may hold without changing what the tensors mean.
_OF_NO_CONSEQUENCE = {
    "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_bias",
    "lora_dropout", "lora_ga_config", "loftq_config", "megatron_core", "modules_to_save", "peft_type", "peft_version",
    "qalora_group_size", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "revision", "runtime_config",
    "target_modules", "task_type", "use_dora", "use_rslora",
}  # fmt: skip
# Others (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ) take something away from the base when training begins.
_PLAIN_STARTS = {True, False, None, "gaussian", "eva", "orthogonal"}


@dataclass(frozen=True)
class LoraSettings:
    """The configuration of an adapter.

    Attributes:
        rank: Of modules that `ranks` does not name.
        alpha: Likewise.
        ranks: Patterns for names of modules -> their ranks.
        alphas: Likewise.
        root: Whether the product is scaled by alpha over the root of the rank (rsLoRA, Kalajdzievski 2023).
        swapped: Whether weights of linear layers have their inputs first, as in GPT-2's Conv1D.
        modules_to_save: Modules that were saved whole, by the ends of their names.
        bias: Which biases were trained and saved: `none`, `all` or `lora_only`.
    """

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    root: bool
    swapped: bool
    modules_to_save: tuple[str, ...]
    bias: str

    def rank_of(self, module: str) -> int:
        """The rank of a module."""
        return _by_pattern(self.ranks, module, self.rank)

    def scaling_of(self, module: str) -> float:
        """What the product of a module is multiplied by."""
        rank = self.rank_of(module)
        return _by_pattern(self.alphas, module, self.alpha) / (math.sqrt(rank) if self.root else rank)


def _by_pattern(values: Mapping[str, Number], module: str, otherwise: Number) -> Number:
    """The value of the first pattern that fits, as PEFT chooses."""
    fitting = (value for pattern, value in values.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(fitting, otherwise)


def settings_of(adapter: Adapter) -> LoraSettings:
    """The settings of an opened adapter.

    Raises:
        CheckpointFormatError: If a value is wrong or missing, or the adapter is of a variant that is not understood.
    """
    config, where = adapter.config, adapter.path
    for key, value in config.items():
        if value and key not in _OF_NO_CONSEQUENCE:
            raise CheckpointFormatError(
                f"{where}: expected plain LoRA or DoRA, found {key} in its configuration; merge it into its base with "
                "PEFT, then extract an adapter from that"
            )
    start = config.get("init_lora_weights", True)
    if not isinstance(start, (bool, str, type(None))) or start not in _PLAIN_STARTS:
        raise CheckpointFormatError(
            f"{where}: expected an adapter of its base as it is, found init_lora_weights {start!r}, which changes the "
            "base; save it with path_initial_model_for_weight_conversion"
        )
    return LoraSettings(
        rank=_rank(config.get("r"), "r", adapter),
        alpha=_alpha(config.get("lora_alpha"), "lora_alpha", adapter),
        ranks={key: _rank(value, "rank_pattern", adapter) for key, value in _patterns("rank_pattern", adapter)},
        alphas={key: _alpha(value, "alpha_pattern", adapter) for key, value in _patterns("alpha_pattern", adapter)},
        root=bool(config.get("use_rslora", False)),
        swapped=bool(config.get("fan_in_fan_out", False)),
        modules_to_save=_names("modules_to_save", adapter),
        bias=str(config.get("bias") or "none"),
    )


def _patterns(key: str, adapter: Adapter) -> list[tuple[str, Any]]:
    found = adapter.config.get(key) or {}
    if not isinstance(found, dict):
        raise CheckpointFormatError(f"{adapter.path}: expected {key} to map names to numbers, found {found!r}")
    for pattern in found:
        try:
            re.compile(pattern)
        except re.error as error:
            raise CheckpointFormatError(f"{adapter.path}: {key}: expected a pattern, found {pattern!r}") from error
    return list(found.items())


def _names(key: str, adapter: Adapter) -> tuple[str, ...]:
    found = adapter.config.get(key) or ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) and name for name in found):
        raise CheckpointFormatError(f"{adapter.path}: expected {key} to be a list of names, found {found!r}")
    return tuple(dict.fromkeys(found))


def _rank(value: object, key: str, adapter: Adapter) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise CheckpointFormatError(
        f"{adapter.path}: expected {key} to be a rank of at least 1 in its configuration, found {value!r}"
    )


def _alpha(value: object, key: str, adapter: Adapter) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise CheckpointFormatError(f"{adapter.path}: expected {key} to be a number in its configuration, found {value!r}")
