"""Copies of a network without copies of its weights."""

from __future__ import annotations

import copy
from types import BuiltinFunctionType, FunctionType
from typing import Any

from torch import nn

# Values that a copy may share: most attributes of most modules.
_IMMUTABLE = frozenset({int, float, bool, str, type, type(None), FunctionType, BuiltinFunctionType})
_TENSORS_AND_PARTS = ("_parameters", "_buffers", "_modules")
_COPYING = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
# These only add what old pickles lack.
_UPDATING = (nn.Module.__setstate__, nn.modules.conv._ConvNd.__setstate__, nn.Softmax.__setstate__)


def copy_structure(module: nn.Module, *, meta: bool = False) -> nn.Module:
    """Copy a module but not its tensors: parameters are shared, or with `meta` replaced by empty ones; buffers shared.

    Ties survive either way, because a parameter that is met twice is replaced by one and the same object, which
    `module.to("meta")` does not do.
    """
    memo: dict[int, Any] = {id(buffer): buffer for buffer in module.buffers()}
    memo |= {id(parameter): on_meta(parameter) if meta else parameter for parameter in module.parameters()}
    if all(map(_is_plain, {type(part) for part in module.modules()})):
        return _copy_parts(module, memo)
    return copy.deepcopy(module, memo)


def _is_plain(kind: type[nn.Module]) -> bool:
    """Whether a class leaves it to Python how its modules are copied."""
    return all(
        getattr(kind, name, None) in (getattr(nn.Module, name, None), *_UPDATING) for name in _COPYING
    ) and not hasattr(kind, "__slots__")


def _copy_parts(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """What `copy.deepcopy` gives, some five times as fast: it need not look into the many empty and plain attributes.

    Every evaluation of a `Program` takes a copy, which cost a small network more than the evaluation itself.
    """
    parts = list(module.modules())
    memo |= {id(part): object.__new__(type(part)) for part in parts}
    for part in parts:
        state = memo[id(part)].__dict__
        for name, value in part.__dict__.items():
            kind = type(value)
            if kind in _IMMUTABLE or (kind is tuple and all(type(item) in _IMMUTABLE for item in value)):
                state[name] = value
            elif name in _TENSORS_AND_PARTS:
                state[name] = kind((key, memo.get(id(held), held)) for key, held in value.items())
            elif isinstance(value, (dict, list, set)) and not value:
                state[name] = copy.copy(value)
            else:
                state[name] = copy.deepcopy(value, memo)
    return memo[id(module)]


def disposable(module: nn.Module) -> nn.Module:
    """A copy on which a forward pass may leave what it caches; the module itself where it cannot be copied."""
    try:
        return copy_structure(module)
    except Exception:  # an attribute such as a lock or an open file
        return module


def on_meta(parameter: nn.Parameter) -> nn.Parameter:
    """An empty parameter of the same shape and type."""
    return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
