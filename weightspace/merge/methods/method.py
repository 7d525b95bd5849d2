"""What a merge method is: a pure function of pieces of tensors, with documented options.

A method may measure first: each of its measures goes over all chunks of a tensor once, and is joined to one value,
which the next measure and in the end `combine` are given. So whoever runs it decides how much is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.option import Option, Settings

Measured = tuple[Any, ...]


@dataclass(frozen=True)
class Measure:
    """A pass over the chunks of a tensor before they are merged.

    Attributes:
        of: What is measured on a chunk, given what the measures before it gave.
        join: One value of those of all chunks, in their order, given likewise.
        needed: Whether these settings ask for it; where they do not, the pass may be left out for the value None.
        keeps: Bytes that what is measured on a chunk takes until it is joined, about, by its rows, its columns and the
            number of models.
    """

    of: Callable[[Chunk, Settings, Measured], Any]
    join: Callable[[Sequence[Any], Settings, Measured], Any]
    needed: Callable[[Settings], bool] = lambda _: True
    keeps: Callable[[int, int, int], int] = lambda rows, columns, models: 256 * models


@dataclass(frozen=True)
class MergeMethod:
    """How tensors of several models become one.

    Attributes:
        name: As recipes write it.
        title: As people write it.
        about: What it does, in a line.
        reference: The paper.
        combine: The merged elements of a chunk, of its shape and type, given what was measured.
        options: What can be set.
        measures: What is measured first.
        base: Whether a base model is needed, used if there is one, or of no use.
        models: Least and largest number of models beside the base; None for any.
        by_rows: Whether chunks are whole rows (of a vector: the vector).
        check: Refuses settings that do not go together, by a `MergeError`.
    """

    name: str
    title: str
    about: str
    reference: str
    combine: Callable[[Chunk, Settings, Measured], Tensor]
    options: tuple[Option, ...] = ()
    measures: tuple[Measure, ...] = ()
    base: Literal["required", "optional", "none"] = "none"
    models: tuple[int, int | None] = (1, None)
    by_rows: bool = False
    check: Callable[[Settings], None] = lambda _: None

    def option(self, name: str) -> Option | None:
        """An option by its name."""
        return next((option for option in self.options if option.name == name), None)
