"""A transformers model with a head, under the names of its base model.

Files that were saved from the base model leave its prefix out (`wte.weight`, not `transformer.wte.weight`), and
transformers adds it when it loads them. Here the weights keep the names of the file, so the module takes those.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def under_base_names(model: nn.Module, prefix: str) -> nn.Module:
    """Present `model` with the names that its base model has on its own.

    Args:
        model: A model with a head; its base model is the attribute `prefix`.
        prefix: Name of the base model in it.

    Returns:
        The model with its head where the head has no weights of its own (it is tied, as in GPT-2); else the base model
        alone, because a file of the base model holds no head.
    """
    base = model.get_submodule(prefix)
    held = {id(parameter) for parameter in base.parameters()}
    tied = all(id(parameter) in held for parameter in model.parameters())
    # Weights of the base model itself, beside those of its parts, could not be replaced from outside of it.
    in_parts = not [*base.parameters(recurse=False), *base.buffers(recurse=False)]
    return _UnderBaseNames(model, prefix) if tied and in_parts else base


class _UnderBaseNames(nn.Module):
    """Holds the parts of a model under other names, and runs the model."""

    _model: nn.Module

    def __init__(self, model: nn.Module, prefix: str) -> None:
        super().__init__()
        for name, part in model.get_submodule(prefix).named_children():
            self.add_module(name, part)
        for name, part in model.named_children():
            if name != prefix:
                self.add_module(name, part)
        # Not registered, or every weight would have its old name as well.
        object.__setattr__(self, "_model", model)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the whole model."""
        return self._model(*args, **kwargs)
