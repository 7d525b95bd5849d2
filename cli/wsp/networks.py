"""Merges that need networks: what a recipe asks for, and what can be said about it before they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weightspace.errors import MergeError
from wsp.console import Console, counted
from wsp.recipes import SUFFIXES

if TYPE_CHECKING:
    from weightspace.merge.networks import NetworkMerge
    from weightspace.merge.recipe import Recipe


def asked_of(recipe: Recipe, models: Sequence[Path]) -> NetworkMerge | None:
    """What a recipe asks for; None where its method works on weights alone.

    Args:
        recipe: The recipe.
        models: What was given on the command line: its paths may be relative to the recipe.

    Raises:
        WeightspaceError: Something does not go together.
    """
    from weightspace.merge.networks import NETWORK_METHODS, check_merge_method, network_merge
    from weightspace.merge.recipe import place_of, placed

    check_merge_method(recipe.merge_method)
    if recipe.merge_method not in NETWORK_METHODS:
        return None
    asked = network_merge(placed(recipe, models[0].parent) if models[0].suffix in SUFFIXES else recipe)
    for model in asked.models:
        if place_of(model, models[0].parent).adapter is not None:
            raise MergeError(
                f"{model}: expected a whole model for method {asked.method.name}, found an adapter; run wsp adapter "
                "fuse first"
            )
    return asked


def show_check(console: Console, asked: NetworkMerge, output: Path | None) -> None:
    """Checks names, shapes and types in the headers of the models, and says what is left to be seen.

    Raises:
        WeightspaceError: A model cannot be opened, they do not fit each other, or the output cannot be written.
    """
    from weightspace.checkpoint import check_compatible, check_output, open_checkpoint

    if output is not None:
        check_output(output, asked.models)
    first, *others = (open_checkpoint(path) for path in asked.models)
    if getattr(asked.options, "heads", None) is None:
        for other in others:
            check_compatible(first, other)
    left = "whether the network takes these weights and the data is seen when it runs"
    console.document(
        {
            "method": asked.method.name, "models": list(asked.models), "tensors": len(list(first)),
            "recipe": asked.recipe.model_dump(mode="json", exclude_none=True), "notes": [*console.notes, left],
        }
    )  # fmt: skip
    console.line(
        f"{asked.method.title}: the recipe, and names and shapes of {counted(len(list(first)), 'tensor')} in "
        f"{counted(len(asked.models), 'model')}, fit; {left}"
    )
