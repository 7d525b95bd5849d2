"""Which tensors have a row for every token: by their names, and by extents that follow the vocabularies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weightspace.errors import MergeError
from weightspace.merge.streaming.layers import layers_of
from weightspace.merge.streaming.model import Model

_NAMED = re.compile(
    r"(^|\.)((embed_tokens|wte|tok_embeddings|word_embeddings|embed_in|embed_out|shared|lm_head|generator_lm_head)"
    r"|(lm_head|predictions|generator_predictions)\.decoder)\.(weight|bias)$|(^|\.)predictions\.bias$"
)
_ADVICE = "merge without tokenizer_source"


def vocabulary_size(config: Path | None, model: str) -> int:
    """The number of tokens that a model's configuration says.

    Raises:
        MergeError: There is no configuration, or it does not say.
    """
    if config is None:
        raise MergeError(
            f"{model}: expected a folder of transformers (tokenizer_source needs its config.json and its "
            "tokenizer), found weights alone; name the folder"
        )
    settings = json.loads(config.read_text(encoding="utf-8"))
    sizes = _sizes(settings)
    if len(sizes) != 1:
        found = ", ".join(map(str, sorted(sizes))) or "none"
        raise MergeError(f"{config}: expected one vocab_size, found {found}; {_ADVICE}")
    return sizes.pop()


def embeddings_of(models: Mapping[str, Model], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Names of the tensors with a row for every token.

    Args:
        models: The models, the base first.
        sizes: The number of tokens of each.

    Raises:
        MergeError: There are none, one has fewer rows than there are tokens or no floating point numbers, or a tensor
            with that extent may be one or not.
    """
    first = next(iter(models))
    stacks = layers_of(models[first])
    found = []
    for name in models[first]:
        if any(stack.place(name) is not None for stack in stacks):
            continue
        if _NAMED.search(name):
            for model in models:
                _check(models, model, name, sizes[model])
            found.append(name)
            continue
        extents = _of_tokens(models, name, sizes)
        if extents == [0] and len(set(sizes.values())) > 1:
            found.append(name)
        elif extents:
            raise MergeError(
                f"{first}: tensor '{name}': expected a name that says whether its extent {sizes[first]} are tokens, "
                f"found shape {models[first].info(name).shape} and a name that is not known; {_ADVICE}"
            )
    if not found:
        raise MergeError(
            f"{first}: expected embeddings such as embed_tokens.weight with {sizes[first]} rows, found none; {_ADVICE}"
        )
    return tuple(found)


def _of_tokens(models: Mapping[str, Model], name: str, sizes: Mapping[str, int]) -> list[int]:
    """The extents of a tensor that are the number of tokens in every model."""
    if not all(name in model for model in models.values()):
        return []
    shapes = {each: model.info(name).shape for each, model in models.items()}
    return [
        at for at in range(min(map(len, shapes.values()))) if all(shapes[each][at] == sizes[each] for each in sizes)
    ]


def _check(models: Mapping[str, Model], model: str, name: str, size: int) -> None:
    if name not in models[model]:
        raise MergeError(
            f"{model}: expected a tensor '{name}', which the others have, found none; merge models of one architecture"
        )
    info = models[model].info(name)
    if not info.dtype.is_floating_point or not info.shape or info.shape[0] < size:
        raise MergeError(
            f"{model}: tensor '{name}': expected numbers with a row for each of {size} tokens, as "
            f"config.json says, found {info.dtype} of shape {info.shape}; {_ADVICE}"
        )


def _sizes(settings: Mapping[str, Any]) -> set[int]:
    """What a configuration says, or else its parts."""
    own = settings.get("vocab_size")
    if isinstance(own, int):
        return {own}
    return {size for part in settings.values() if isinstance(part, dict) for size in _sizes(part)}
