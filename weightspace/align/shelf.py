"""Tensors that are kept as long as there is room: what is not there is made again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable

from torch import Tensor


class Shelf:
    """Keeps tensors up to a number of bytes; what was not used for longest goes first.

    Attributes:
        room: Bytes that may be kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._held: OrderedDict[Hashable, tuple[Tensor, int]] = OrderedDict()
        self._used = 0

    def get(self, key: Hashable, make: Callable[[], tuple[Tensor, int]]) -> Tensor:
        """The tensor of a key, made where it is not held.

        Args:
            key: Its name.
            make: Gives the tensor and the bytes that keeping it takes.
        """
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key][0]
        tensor, size = make()
        self.put(key, tensor, size)
        return tensor

    def find(self, key: Hashable) -> Tensor | None:
        """The tensor of a key, if it is held."""
        return self._held[key][0] if key in self._held else None

    def put(self, key: Hashable, tensor: Tensor, size: int) -> None:
        """Holds a tensor, where there is room for it at all."""
        self.drop([key])
        if size > self.room:
            return
        self._held[key] = (tensor, size)
        self._used += size
        while self._used > self.room:
            _, (_, freed) = self._held.popitem(last=False)
            self._used -= freed

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forgets some tensors."""
        for key in keys:
            if key in self._held:
                self._used -= self._held.pop(key)[1]
