"""Tensors of another mapping that are changed as they are read, so that none is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


class TensorView(Mapping[str, Tensor]):
    """A lazy mapping over another one, such as a checkpoint that is read from its file."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        names: Mapping[str, str] | None = None,
        change: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor,
    ) -> None:
        """Wraps a mapping.

        Args:
            tensors: What is read.
            names: Names of the view, in order -> names in `tensors`; the same ones by default.
            change: What becomes of a tensor when it is read, given its name in the view.
        """
        self._tensors = tensors
        self._names = {name: name for name in tensors} if names is None else dict(names)
        self._change = change

    def __getitem__(self, name: str) -> Tensor:
        return self._change(name, self._tensors[self._names[name]])

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without reading anything

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
