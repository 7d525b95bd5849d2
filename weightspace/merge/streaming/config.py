"""The `config.json` of a merged model: that of the base, with other layers, type and tokens where these change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weightspace.errors import MergeError
from weightspace.merge.streaming.vocabulary.merged import MergedVocabulary
from weightspace.merge.streaming.vocabulary.texts import renumber

# What configurations of transformers call the number of their layers.
_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers",
    "encoder_num_hidden_layers", "decoder_num_hidden_layers",
)  # fmt: skip


def merged_config(
    path: Path, layers: Mapping[int, Sequence[int]], dtype: str | None, vocabulary: MergedVocabulary | None = None
) -> str:
    """The text of the configuration of a merged model.

    Args:
        path: The configuration of the base.
        layers: Number of layers of each stack that changes -> which of them every layer of the merged model comes from.
        dtype: Type of the merged weights, where a recipe names one.
        vocabulary: Its vocabulary, where a recipe says one.

    Raises:
        MergeError: Layers change, and nothing in the configuration says how many there are.
    """
    settings = json.loads(path.read_text(encoding="utf-8"))
    for count, taken in layers.items():
        if not _resized(settings, count, taken):
            raise MergeError(
                f"{path}: expected the number of layers ({count}) under a name such as num_hidden_layers, found none; "
                "merge models whose configuration says how many layers they have"
            )
    if dtype is not None:
        for key in ("torch_dtype", "dtype"):
            if key in settings:
                settings[key] = dtype
    if vocabulary is not None:
        renumber(settings, vocabulary)
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _resized(settings: dict[str, Any], count: int, taken: Sequence[int]) -> bool:
    """Gives a configuration, or a part of it, other layers; lists with something of every layer follow."""
    names = [name for name in _COUNTS if settings.get(name) == count]
    for name in names:
        settings[name] = len(taken)
    if names:
        for name, value in settings.items():
            if isinstance(value, list) and len(value) == count:
                settings[name] = [value[at] for at in taken]
    inside = [_resized(value, count, taken) for value in settings.values() if isinstance(value, dict)]
    return bool(names) or any(inside)
