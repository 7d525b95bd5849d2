"""`wsp check`: whether a merge would work, from headers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsp import networks, options, recipes, streamed
from wsp.console import Console
from wsp.errors import reports_errors


@reports_errors
def check(
    context: typer.Context,
    models: options.Models,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Where it would be written.", show_default=False),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Of models without a recipe: how they are merged.")
    ] = "linear",
    base: options.Base = None,
    settings: options.Set = None,
    dtype: options.Dtype = None,
    shard_size: options.ShardSize = None,
    tokenizer: options.Vocabulary = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a recipe, or the flags of a merge: names, options, tensors, shapes, types; only headers are read.

    It says what would be written and how much memory it takes, or in one line what is wrong, and writes nothing.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        given = recipes.given_options(context)
        recipe = recipes.given_recipe(models, given)
        if recipe is None:
            recipe = recipes.recipe_of_flags(
                models, method, base=base, settings=settings or [], dtype=dtype, seed=0,
                more={} if tokenizer is None else {"tokenizer_source": tokenizer},
            )  # fmt: skip
        asked = networks.asked_of(recipe, models)
        if asked is not None:
            networks.show_check(console, asked, output)
            return
        streamed.show_plan(console, streamed.prepared(recipe, models, output, console, shard_size=shard_size))
