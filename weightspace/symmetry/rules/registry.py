"""The table of operator rules: one function per family of ATen overloads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TypeAlias, TypeVar

import torch

from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Labels

Rule: TypeAlias = Callable[[Context, Call], Labels | tuple[Labels, ...]]

_Function = TypeVar("_Function", bound=Rule)

_TABLE: dict[torch._ops.OpOverload, Rule] = {}


def rule(*overloads: torch._ops.OpOverload) -> Callable[[_Function], _Function]:
    """Registers a rule for ATen overloads.

    A rule reads the labels of its inputs, makes equal what the operator ties together, and returns the labels of its
    outputs: one list for a single output, a tuple of lists for several. In-place overloads share the rule of their
    functional twin: what they write gets the labels of the output.

    Raises:
        ValueError: If an overload has a rule already.
    """

    def register(function: _Function) -> _Function:
        for overload in overloads:
            if overload in _TABLE:
                raise ValueError(f"{overload} has two rules")
            _TABLE[overload] = function
        return function

    return register


def copying(function: Rule) -> Rule:
    """Declares that every entry of the outputs is one of the first operand: choices and index numbers go with it."""

    @wraps(function)
    def copied(context: Context, call: Call) -> Labels | tuple[Labels, ...]:
        source = call.inputs[0]
        values = context.values.pop(source.key, None)  # moving numbers about does not read them
        context.carry(source)
        result = function(context, call)
        if values is not None:
            context.values[source.key] = values
            for ref in call.outputs:
                whole = math.prod(ref.shape) == math.prod(source.shape)
                context.assign(ref, values if whole else replace(values, origin=ref.key))
        return result

    return copied


def registered(overload: torch._ops.OpOverload) -> Rule | None:
    """The rule that was registered for exactly this overload."""
    return _TABLE.get(overload)


def covered() -> tuple[torch._ops.OpOverload, ...]:
    """All overloads with a rule of their own."""
    return tuple(_TABLE)
