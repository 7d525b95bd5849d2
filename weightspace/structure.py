"""Copies of a network without copies of its weights."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def copy_structure(module: nn.Module, *, meta: bool = False) -> nn.Module:
    """Copy a module but not its tensors: parameters are shared, or with `meta` replaced by empty ones; buffers shared.

    Ties survive either way, because a parameter that is met twice is replaced by one and the same object, which
    `module.to("meta")` does not do.
    """
    memo: dict[int, Any] = {id(buffer): buffer for buffer in module.buffers()}
    memo |= {id(parameter): on_meta(parameter) if meta else parameter for parameter in module.parameters()}
    return copy.deepcopy(module, memo)


def disposable(module: nn.Module) -> nn.Module:
    """A copy on which a forward pass may leave what it caches; the module itself where it cannot be copied."""
    try:
        return copy_structure(module)
    except Exception:  # an attribute such as a lock or an open file
        return module


def on_meta(parameter: nn.Parameter) -> nn.Parameter:
    """An empty parameter of the same shape and type."""
    return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
