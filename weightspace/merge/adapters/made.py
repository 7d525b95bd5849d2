"""An adapter that was computed, as PEFT stores it: its tensors and its configuration."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightspace.merge.adapters.low_rank import LowRank, factors_of
from weightspace.merge.adapters.names import PREFIX


@dataclass(frozen=True)
class Layer:
    """What became of the change of one weight.

    Attributes:
        module: Whose weight.
        shape: Of the change.
        rank: That it has now.
        error: Frobenius norm of what was lost over that of the change; 0 where the change is zero.
    """

    module: str
    shape: tuple[int, ...]
    rank: int
    error: float


@dataclass(frozen=True)
class MadeAdapter:
    """An adapter that was computed.

    Attributes:
        changes: By the names of modules.
        whole: Tensors of modules that are saved whole, under the names that PEFT stores.
        targets: For `target_modules`.
        modules_to_save: For that.
        swapped: For `fan_in_fan_out`.
        bias: Which biases are among the whole tensors.
        task: For `task_type`.
        layers: What became of each change.
    """

    changes: Mapping[str, LowRank]
    whole: Mapping[str, Tensor]
    targets: Sequence[str] | str
    modules_to_save: Sequence[str]
    swapped: bool
    bias: str = "none"
    task: str | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By PEFT's names, for a scaling of 1."""
        biased = self._biased
        stored: dict[str, Tensor] = {}
        for module, change in self.changes.items():
            stored |= {f"{PREFIX}{module}.{end}": tensor.contiguous() for end, tensor in factors_of(change).items()}
            if biased:
                # PEFT gives one to every layer then.
                bias = change.bias if change.bias is not None else torch.zeros(change.shape[0], dtype=change.left.dtype)
                stored[f"{PREFIX}{module}.lora_B.bias"] = bias
        return {**stored, **{name: tensor.contiguous() for name, tensor in self.whole.items()}}

    @property
    def _biased(self) -> bool:
        return any(change.bias is not None for change in self.changes.values())

    def config(self, *, base: str | None) -> dict[str, Any]:
        """For `adapter_config.json`, with alpha equal to the rank everywhere, so that nothing is scaled.

        Args:
            base: `base_model_name_or_path`.
        """
        ranks = Counter(change.rank for change in self.changes.values())
        rank = max(ranks, key=lambda one: (ranks[one], one)) if ranks else 1
        others = {
            _pattern(name, self.changes): change.rank for name, change in self.changes.items() if change.rank != rank
        }
        return {
            "peft_type": "LORA",
            "task_type": self.task,
            "base_model_name_or_path": base,
            "inference_mode": True,
            "r": rank,
            "lora_alpha": rank,
            "lora_dropout": 0.0,
            "rank_pattern": others,
            "alpha_pattern": dict(others),
            "target_modules": self.targets if isinstance(self.targets, str) else list(self.targets),
            "modules_to_save": list(self.modules_to_save) or None,
            "fan_in_fan_out": self.swapped,
            "bias": self.bias,
            "lora_bias": self._biased,
            "use_rslora": False,
            "use_dora": False,
            "init_lora_weights": True,
        }


def _pattern(module: str, others: Iterable[str]) -> str:
    """A pattern for one module; PEFT lets patterns begin after any dot, so a name may stand for others that end so."""
    return f"^{re.escape(module)}" if any(other.endswith(f".{module}") for other in others) else module


def targets_for(targets: Sequence[str], modules: Iterable[str]) -> list[str] | str:
    """What to write as `target_modules`: last components of names where these mean no other modules, else full names.

    PEFT takes full names for the ends of names, too. Where that is ambiguous the result is one pattern.

    Args:
        targets: Full names.
        modules: All modules of the network.
    """
    others = [module for module in modules if module not in set(targets)]
    if any(other.endswith(f".{name}") for name in targets for other in others):
        return "|".join(re.escape(name) for name in targets)
    ends = {other.rpartition(".")[2] for other in others}
    return list(dict.fromkeys(last if (last := name.rpartition(".")[2]) not in ends else name for name in targets))
