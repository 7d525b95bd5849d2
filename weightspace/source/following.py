"""Following a network operator by operator while it runs, along the sequence of its trace."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.symmetry.sequence import is_silent, plain_name
from weightspace.symmetry.trace import without_fast_path


class Following(TorchDispatchMode):
    """Numbers the operators that run as the trace has them, and shows each with what it gave.

    Args:
        sequence: Names of the operators as `weightspace.symmetry.taps.plain_name` gives them, without silent ones.
        label: What messages call the network.
    """

    def __init__(self, sequence: Sequence[str], label: str) -> None:
        super().__init__()
        self._sequence, self._label = sequence, label
        self._next = 0

    @abstractmethod
    def seen(self, number: int, args: Sequence[Any], result: Any) -> None:
        """Called after every operator with its number, its positional arguments and its result."""

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = plain_name(str(func))
        if is_silent(name):
            return result
        expected = self._sequence[self._next] if self._next < len(self._sequence) else "the end"
        if name != expected:
            raise self._other(expected, name)
        self.seen(self._next, args, result)
        self._next += 1
        return result

    def finish(self) -> None:
        """Checks that the whole sequence has run."""
        if self._next < len(self._sequence):
            raise self._other(self._sequence[self._next], "the end")

    def _other(self, expected: str, found: str) -> SourceError:
        return SourceError(
            f"{self._label}: operator {self._next} of its forward pass: expected {expected} as in its trace, found "
            f"{found}; its activations cannot be told apart, so use a method that goes by weights alone"
        )


@contextmanager
def following(mode: Following) -> Iterator[None]:
    """Shows a mode what a network runs within the context: attention in parts, as in the trace, not in one kernel.

    Raises:
        SourceError: The network runs other operators than its trace.
    """
    with sdpa_kernel(SDPBackend.MATH), without_fast_path(), mode:
        yield
    mode.finish()
