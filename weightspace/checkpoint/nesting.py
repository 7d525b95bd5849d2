"""Find the state dict inside what a training script saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from weightspace.errors import CheckpointFormatError

# Keys under which training scripts keep the weights of their one model.
STATE_DICT_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "checkpoint",
)

# Components of a key (singular) that say: this is training state, not the weights of a model.
_TRAINING_STATE = {"optimizer", "optim", "scheduler", "scaler", "rng", "callback", "loop", "metric", "criterion"}


@dataclass(frozen=True)
class StateDict:
    """The entries of the state dict that was found, and how it was found."""

    entries: Mapping[Any, Any]
    notes: tuple[str, ...]


def find_state_dict(loaded: object, path: Path, prefer: str | None = None) -> StateDict:
    """Descend through the wrappers around a state dict.

    A wrapper is a mapping in which exactly one other mapping holds tensors, training state and averaged (EMA) copies
    apart, or which names it by a customary key (`state_dict`, `model`, ...). Averaged weights are read only when asked
    for, or when there are no others.

    Args:
        loaded: What the file holds.
        path: The file, for messages.
        prefer: Key to descend through, or `"ema"` for the averaged weights under whatever name they have.

    Raises:
        CheckpointFormatError: If there is no state dict, several to choose from, or none under `prefer`.
    """
    trail: list[str] = []
    notes: list[str] = []
    wanted = prefer
    current = loaded
    seen: set[int] = set()
    while True:
        if not isinstance(current, Mapping) or id(current) in seen:
            raise CheckpointFormatError(
                f"{path}: expected a state dict (names to tensors), found {_describe(current)}; "
                "save model.state_dict() instead"
            )
        seen.add(id(current))
        inner = {key: value for key, value in current.items() if isinstance(key, str) and _holds_weights(key, value)}
        key = _choose(inner, wanted, path, has_tensors=_has_tensors(current))
        if key is None:
            break
        if wanted is not None and (key == wanted or (wanted == "ema" and _is_ema(key))):
            wanted = None
        notes.extend(_note_ema(inner, key))
        trail.append(key)
        current = inner[key]
    if wanted is not None:
        raise CheckpointFormatError(
            f"{path}: expected weights under {wanted!r}, found {_list(inner) if inner else 'none there'}; "
            "name one that is there, or none"
        )
    if trail:
        notes.insert(0, "read from " + " > ".join(repr(key) for key in trail))
    return StateDict(current, tuple(notes))


def _choose(inner: Mapping[str, object], wanted: str | None, path: Path, *, has_tensors: bool) -> str | None:
    """The key to descend through, or None when this mapping is itself the state dict."""
    if wanted in inner:
        return wanted
    averaged = [key for key in inner if _is_ema(key)]
    if wanted == "ema" and averaged:
        return _only(averaged, path)
    plain = [key for key in inner if not _is_ema(key)]
    named = [key for key in STATE_DICT_KEYS if key in plain]
    if named:
        return _only(named, path)
    if has_tensors or not inner:
        return None
    return _only(plain or averaged, path)


def _only(keys: list[str], path: Path) -> str:
    if len(keys) > 1:
        raise CheckpointFormatError(
            f"{path}: expected one state dict, found several: {_list(keys)}; say which with prefer, "
            f"for example prefer={keys[0]!r}"
        )
    return keys[0]


def _note_ema(inner: Mapping[str, object], chosen: str) -> list[str]:
    if _is_ema(chosen):
        return ["these are averaged (EMA) weights"]
    return [
        f"averaged (EMA) weights under {key!r} were not read; prefer={key!r} reads them"
        for key in inner
        if _is_ema(key)
    ]


def _is_ema(key: str) -> bool:
    return "ema" in _parts(key)


def _parts(key: str) -> list[str]:
    return key.lower().replace("-", "_").split("_")


def _holds_weights(key: str, value: object, depth: int = 4) -> bool:
    """Whether `value` is a mapping with tensors in it, at most `depth` wrappers further in, and not training state."""
    if not isinstance(value, Mapping) or key.endswith("_extra_state") or "param_groups" in value:
        return False
    if any(part.removesuffix("s") in _TRAINING_STATE for part in _parts(key)):
        return False
    return _has_tensors(value) or (
        depth > 0 and any(_holds_weights(str(inner), inside, depth - 1) for inner, inside in value.items())
    )


def _has_tensors(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(entry, torch.Tensor) for entry in value.values())


def _list(keys: Mapping[str, object] | list[str]) -> str:
    return ", ".join(repr(key) for key in keys)


def _describe(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a single tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)} entries"
    return f"a {type(value).__name__}"
