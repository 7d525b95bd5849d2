"""What every kind of source offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from weightspace.data.normalization import Normalization

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call of a network, `module(*args, **kwargs)`.

    Attributes:
        args: Positional arguments, tensors of shape (batch, ...) among them.
        kwargs: Keyword arguments, for networks that are called by name (transformers).
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: _NO_KWARGS)

    def map_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        """Return the same call with `change` applied to every tensor, also inside lists, tuples and dictionaries."""

        def visit(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return change(value)
            if isinstance(value, Mapping):
                return {key: visit(item) for key, item in value.items()}
            if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
                return type(value)(visit(item) for item in value)
            return value

        return Inputs(tuple(visit(value) for value in self.args), {k: visit(v) for k, v in self.kwargs.items()})

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor of the call, in order."""
        found: list[torch.Tensor] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            found.append(tensor)
            return tensor

        self.map_tensors(note)
        return found

    def with_tensors(self, tensors: Iterable[torch.Tensor]) -> Inputs:
        """Return the same call with other tensors in place of its own, in order."""
        given = iter(tensors)
        return self.map_tensors(lambda _: next(given))

    def cast(self, dtype: torch.dtype, device: torch.device | str) -> Inputs:
        """Return the call with floating tensors as `dtype` and every tensor on `device`."""
        return self.map_tensors(lambda t: t.to(device, dtype) if t.is_floating_point() else t.to(device))

    def primary(self) -> torch.Tensor | None:
        """The first tensor of the call: the batch of images, tokens or features; None if there is none."""
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, torch.Tensor):
                return value
        return None


@dataclass(frozen=True)
class Labelled(Inputs):
    """A call of a classifier whose right answers are known.

    Attributes:
        labels: Class indices (batch,), int64.
    """

    labels: torch.Tensor = field(kw_only=True)


class Source(ABC):
    """Where a network comes from: a recipe that builds the module, never its trained weights.

    Attributes:
        label: The source as the user typed it; error messages name it.
    """

    label: str

    @abstractmethod
    def build(self, *, meta: bool = False) -> torch.nn.Module:
        """Build the network in evaluation mode; its weights are random but the same in every call.

        Args:
            meta: Put every parameter on the `meta` device, so that no memory is spent on weights. Tied parameters stay
                tied, and buffers keep their real values (constant tables and masks are part of the architecture).

        Raises:
            SourceError: The network cannot be built.
        """

    @abstractmethod
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        """Random inputs that the network takes: real tensors on the CPU, floating ones of `dtype`.

        Raises:
            SourceError: No input that the network takes is known.
        """

    @property
    def normalization(self) -> Normalization | None:
        """Mean and standard deviation per channel that the model's own configuration asks for, if it does."""
        return None

    def ignores(self, name: str) -> bool:
        """Whether a checkpoint may hold a tensor of this name that the network has no use for (masks in old files)."""
        return False

    def with_classes(self, classes: int) -> Source | None:
        """The same architecture with another number of classes, or None where nothing in the source says how many."""
        return None

    def evaluation_refusal(self) -> str | None:
        """One line that says why the network cannot be evaluated on data, or None when it can.

        A source may fix the symmetries of a network without fixing its function: an inferred stack knows its layers
        but not what stands between them.
        """
        return None
