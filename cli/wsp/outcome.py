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
    from weightspace.merge.networks import NetworkMerge
    from weightspace.source import Program

_TOLD = {
    "measured": "measured on the data", "interpolated": "interpolated", "kept": "those of the one model",
    "none": "none in this network",
}  # fmt: skip


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


def beside(asked: NetworkMerge, output: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The recipe that gives the same bytes again: for the provenance, and as a file beside weights in a folder."""
    from weightspace.checkpoint.guard import RECIPE, is_single_file
    from weightspace.merge.recipe import recipe_text

    resolved = asked.recipe.model_dump(mode="json", exclude_none=True)
    return {"resolved": resolved}, {} if is_single_file(output) else {RECIPE: recipe_text(asked.recipe)}


def show_statistics(console: Console, outcome: Outcome, output: Path) -> None:
    """The last lines, for people."""
    console.line(f"merged {outcome.how}; statistics of batch norms: {_TOLD[outcome.merged.statistics]}")
    console.line(f"written to {output}")
