"""Tensors that are read at the moment when an operator takes them, and dropped after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from typing_extensions import override


class Streamed(torch.Tensor):
    """Stands for a tensor that is read anew whenever an operator takes it.

    A network runs on such weights with no more than one of them in memory at a time.
    """

    read: Callable[[], Tensor]

    @staticmethod
    def __new__(cls, shape: torch.Size, dtype: torch.dtype, device: torch.device, read: Callable[[], Tensor]) -> Tensor:
        """Makes one, given what `read` will give: a tensor of that shape and type on that device."""
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        made.read = read
        return made

    @override
    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Streamed, lambda tensor: tensor.read(), (args, kwargs or {}))
        return func(*args, **kwargs)
