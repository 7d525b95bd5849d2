"""A model family of transformers: a tiny configuration of one of its classes, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from weightspace.source.base import Inputs
from weightspace.source.construction import construct

VOCABULARY = 83
LENGTH = 10
Draw = Callable[[torch.Generator], Tensor]


@dataclass(frozen=True)
class Family:
    """One row of the tables.

    Attributes:
        name: The family, as its model type is spelled.
        model: Class of transformers; its own configuration class takes the options.
        options: Of the configuration.
        inputs: Keyword inputs of the forward pass by name, and how each is drawn.
    """

    name: str
    model: str
    options: Mapping[str, Any]
    inputs: Mapping[str, Draw]

    def build(self, *, meta: bool = False) -> tuple[nn.Module, Inputs]:
        """The network in eval mode with random weights, and its inputs: the same in every process."""
        model_class = getattr(transformers, self.model)
        config = model_class.config_class(**self.options)
        for part in (config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))):
            if hasattr(part, "use_cache"):
                setattr(part, "use_cache", False)  # noqa: B010 - not every configuration declares it
        generator = torch.Generator().manual_seed(0)
        inputs = {name: draw(generator) for name, draw in self.inputs.items()}
        model = construct(lambda: model_class(config), meta=meta).eval()
        model.set_experts_implementation("batched_mm")  # as `TransformersSource` does for derivations
        return model, Inputs(kwargs=inputs)


def ids(*shape: int, below: int = VOCABULARY, start: int = 3) -> Draw:
    """Tokens; the special ones come first and are left out."""
    return lambda generator: torch.randint(start, below, shape, generator=generator)


def mask(*shape: int, padded: int = 3) -> Draw:
    """An attention mask whose last row is padded on the right."""

    def draw(_generator: torch.Generator) -> Tensor:
        result = torch.ones(shape, dtype=torch.int64)
        result[-1, -padded:] = 0
        return result

    return draw


def normal(*shape: int) -> Draw:
    """Standard normal values."""
    return lambda generator: torch.randn(shape, generator=generator)


def uniform(*shape: int) -> Draw:
    """Values between 0 and 1."""
    return lambda generator: torch.rand(shape, generator=generator)


def boxes(*shape: int, below: int = 40) -> Draw:
    """Boxes on a page: left, top, right, bottom."""

    def draw(generator: torch.Generator) -> Tensor:
        corners = torch.randint(0, below, (*shape, 2, 2), generator=generator)
        return corners.sort(-2).values.flatten(-2)

    return draw


def patches(batch: int, count: int, size: int) -> Draw:
    """Flattened patches of an image, each after its row and column, counted from 1."""

    def draw(generator: torch.Generator) -> Tensor:
        place = torch.arange(count)
        where = torch.stack([place // 2 + 1, place % 2 + 1], -1).float().expand(batch, count, 2)
        return torch.cat([where, torch.randn(batch, count, size, generator=generator)], -1)

    return draw


def constant(*values: Any) -> Draw:
    """Given values."""
    return lambda _generator: torch.tensor(values)


TEXT = {"input_ids": ids(2, LENGTH), "attention_mask": mask(2, LENGTH)}
IMAGE = {"pixel_values": normal(2, 3, 32, 32)}
PAIR = TEXT | {"decoder_input_ids": ids(2, 7)}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = SPECIAL | {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}
GROUPED = DECODER | {"num_key_value_heads": 2}
