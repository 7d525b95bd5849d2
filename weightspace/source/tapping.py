"""Seeing the values of a network while it runs, at the places that its trace names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.symmetry.taps import Tap, Taps, is_silent, plain_name
from weightspace.symmetry.trace import without_fast_path

Visit = Callable[[Tap, Tensor], None]
"""Called with a tap and its values, (samples, sizes of the outer groups..., n); they may be overwritten afterwards."""


@contextmanager
def tapping(taps: Taps, visit: Visit, label: str) -> Iterator[None]:
    """Calls `visit` at every tap while the network runs within the context.

    Attention runs in parts, as in the trace, not in one fused kernel.

    Args:
        taps: Derived from the same network on inputs of the same shape.
        visit: What to do with the values.
        label: What messages call the network.

    Raises:
        SourceError: The network runs other operators than its trace, so that no one can say where its groups are.
    """
    mode = _Tapping(taps, visit, label)
    with sdpa_kernel(SDPBackend.MATH), without_fast_path(), mode:
        yield
    mode.finish()


class _Tapping(TorchDispatchMode):
    def __init__(self, taps: Taps, visit: Visit, label: str) -> None:
        super().__init__()
        self._sequence, self._visit, self._label = taps.sequence, visit, label
        self._taps: dict[int, list[Tap]] = {}
        for tap in taps.taps:
            self._taps.setdefault(tap.number, []).append(tap)
        self._next = 0

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = plain_name(str(func))
        if is_silent(name):
            return result
        expected = self._sequence[self._next] if self._next < len(self._sequence) else "the end"
        if name != expected:
            raise self._other(expected, name)
        if self._next in self._taps:
            outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            for tap in self._taps[self._next]:
                self._visit(tap, tap.values(outputs[tap.output]))
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
