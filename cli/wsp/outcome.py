"""What every way to merge two networks ends in, ready to be written and shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsp.console import Console

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weightspace.merge import Merged
    from weightspace.source import Program


@dataclass(frozen=True)
class Form:
    """How a merged network of another width is stored.

    Attributes:
        program: The network.
        companions: Files to be copied beside its weights.
        texts: Files that describe it, by name.
        dtypes: Types of its tensors, by name.
        as_it_was: Whether its tensors are those of its origins, but for their shapes.
        constants: Tensors that its code needs beside its weights.
    """

    program: Program
    companions: list[Path]
    texts: dict[str, str]
    dtypes: Mapping[str, torch.dtype]
    as_it_was: bool
    constants: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A merged network.

    Attributes:
        how: How it was merged, in words that follow "merged".
        merged: Its weights under all their names, as they are written.
        recipe: What the merge was and achieved, as JSON values.
        show: Shows that to people.
        form: How it is stored; None for a network as those that it is made of.
    """

    how: str
    merged: Merged
    recipe: dict[str, Any]
    show: Callable[[Console], None]
    form: Form | None = None
