"""What operators demand of exponents, by name; one that is not in the table demands 0 of all its operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.freedom.context import ExponentContext
from weightspace.symmetry.label import Labels

Demand: TypeAlias = Callable[[ExponentContext, Call], Labels | tuple[Labels, ...]]

_Function = TypeVar("_Function", bound=Demand)

_TABLE: dict[str, Demand] = {}


def demand(*names: str) -> Callable[[_Function], _Function]:
    """Registers what operators of these names demand; their in-place twins demand the same.

    Raises:
        ValueError: If a name has a demand already.
    """

    def register(function: _Function) -> _Function:
        for name in names:
            if name in _TABLE:
                raise ValueError(f"{name} makes two demands")
            _TABLE[name] = function
        return function

    return register


def registered(overload: torch._ops.OpOverload) -> Demand | None:
    """What an overload demands, where that is known."""
    return _TABLE.get(overload._schema.name.split("::")[1].removesuffix("_"))


def demanding() -> tuple[str, ...]:
    """Names of all operators with a demand of their own."""
    return tuple(_TABLE)
