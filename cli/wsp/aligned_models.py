"""The models of a recipe aligned to the base (without one to the first) before they are merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from weightspace.errors import MergeError
from wsp.aligning import align_pair, show_alignment
from wsp.asked_pair import pair_request
from wsp.console import Console
from wsp.pair import opened

if TYPE_CHECKING:
    from weightspace.merge.recipe import Place, Recipe
    from weightspace.merge.streaming import Lazily


def aligned_models(recipe: Recipe, places: Mapping[str, Place], console: Console) -> dict[str, Lazily]:
    """Every model but the reference, in the coordinates of the reference; empty where a recipe aligns nothing.

    Args:
        recipe: The recipe.
        places: Where each model lies, the reference first.
        console: Shows the progress and what was found.

    Raises:
        WeightspaceError: A network cannot be found or aligned, or is another function after it.
    """
    from weightspace.merge.streaming import Lazily

    if not recipe.aligns:
        return {}
    for name, place in places.items():
        if place.adapter is not None:
            raise MergeError(f"{name}: expected whole models to align, found an adapter; run wsp adapter fuse first")
    (_, reference), *others = places.items()
    found = {}
    for name, place in others:
        pair = opened(pair_request(recipe, reference.path, place.path), console, evaluates=False)
        result = align_pair(pair, console)
        show_alignment(console, result, f"{name} aligned to {reference.path}")
        infos = {each: pair.b.info(each) for each in pair.b}
        found[name] = Lazily(result.aligned, infos, pair.b.aliases())
    return found
