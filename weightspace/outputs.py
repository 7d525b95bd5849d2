"""Which tensors of what a network returns count as its function."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

# Fields in which models of transformers hand out what they computed on the way, beside their results.
_INTERNAL = re.compile(
    r"""
    (.*_)? (hidden_states | attentions | past_key_values | kv_states | router_logits | router_probs) (_ngram)?
    | (.*_)? encoder_last_hidden_state (_.*)?
    | (.*_)? model_outputs?
    | (vision | text | audio | video | qformer | encoder) _outputs
    | extract_features | cache_params | past_buckets_states | mems | state | .*_cache
    """,
    re.VERBOSE,
)


def result_tensors(result: Any) -> list[Tensor]:
    """The tensors that make up the function of a network, in the order in which it returns them.

    Everything counts: a tensor, and all that tuples, lists, mappings and data classes hold. Only of a `ModelOutput` of
    transformers the fields with what was computed on the way do not (hidden states, attentions, caches, the last hidden
    state of an encoder whose decoder gives the result, router logits, outputs of inner models), unless there is
    nothing else: logits, embeddings, the last hidden state and the like are its function. Tracing and verification
    both ask here, so that a symmetry is claimed and checked for the same outputs.

    Args:
        result: What the forward pass returned.
    """
    return list(_tensors(result))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        names = [name for name, item in value.items() if next(_tensors(item), None) is not None]
        if hasattr(value, "to_tuple"):
            names = [name for name in names if not _INTERNAL.fullmatch(name)] or names
        for name in names:
            yield from _tensors(value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))
