"""Operator calls as they are recorded: the overload, its arguments by name, and which tensors they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor as it was when an operator saw it (metadata may change in place later).

    Attributes:
        key: Identifies the tensor object within one trace.
        shape: Its sizes.
        dtype: Its element type.
        stride: Its strides, None for layouts without.
        storage: Identifies its storage, so that writes through views are seen.
    """

    key: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    stride: tuple[int, ...] | None
    storage: int


@dataclass(frozen=True)
class Call:
    """One operator call.

    Attributes:
        op: The overload.
        arguments: Its arguments by schema name, defaults filled in.
        outputs: What it returned.
        place: Where in the network's own code it was called, as `FILE:LINE`; None where only PyTorch did.
    """

    op: torch._ops.OpOverload
    arguments: Mapping[str, Any]
    outputs: tuple[TensorRef, ...]
    place: str | None = None

    def __getitem__(self, name: str) -> Any:
        """An argument by the name it has in the operator's schema."""
        return self.arguments[name]

    @property
    def output(self) -> TensorRef:
        """The first output."""
        return self.outputs[0]

    @cached_property
    def inputs(self) -> list[TensorRef]:
        """All tensor arguments, in order."""
        return refs_in(self.arguments)

    @cached_property
    def name(self) -> str:
        """Name of the operator without namespace and overload."""
        return self.op._schema.name.split("::")[1]

    @property
    def where(self) -> str:
        """` at FILE:LINE` for messages; empty where the place is not known."""
        return f" at {self.place}" if self.place else ""

    @cached_property
    def written(self) -> list[TensorRef]:
        """Tensor arguments that the operator writes in place."""
        return [ref for name in _written_by(self.op) for ref in refs_in(self.arguments.get(name))]


@cache
def _written_by(op: torch._ops.OpOverload) -> tuple[str, ...]:
    """Names of the arguments that an operator writes in place."""
    return tuple(
        argument.name
        for argument in op._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def refs_in(value: Any) -> list[TensorRef]:
    """All tensor references within nested lists, tuples and dictionaries."""
    return [leaf for leaf in _leaves(value) if isinstance(leaf, TensorRef)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def bind(func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by schema name, with defaults."""
    bound = {
        argument.name: argument.default_value for argument in func._schema.arguments if argument.has_default_value()
    }
    bound.update({argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)})
    bound.update(kwargs)
    return bound
