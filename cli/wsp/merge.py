"""`wsp merge`: one network from several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsp import networks, options, recipes, streamed
from wsp.console import Console
from wsp.dry_run import DryRun
from wsp.errors import reports_errors
from wsp.merge_several import merge_several
from wsp.two import merge_two


@reports_errors
def merge(
    context: typer.Context,
    models: options.Models,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="The merged network: a .safetensors file, or a folder."),
    ],
    t: Annotated[float, typer.Option("--t", min=0.0, max=1.0, metavar="T", help="Share of B: A + T (B - A).")] = 0.5,
    heads: Annotated[
        str | None,
        typer.Option(
            "--heads",
            metavar="both",
            help="both: of networks with different classes keep both heads, the outputs of A first; no labels.",
        ),
    ] = None,
    base: options.Base = None,
    settings: options.Set = None,
    dtype: options.Dtype = None,
    shard_size: options.ShardSize = None,
    tokenizer: options.Vocabulary = None,
    dry_run: DryRun = False,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_shape: options.InputShape = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Of two networks: rebasin averages the weights of A and of B aligned to it; pleas solves every layer "
            "for the mean features of both on --data, then trains all towards their mean outputs; zipit merges the "
            "units that are most alike on --data, within each network and across. Of any number, streamed from file "
            "to file: linear, slerp, task_arithmetic, ties, dare_ties, ... (see wsp methods).",
        ),
    ] = "rebasin",
    align: Annotated[
        str | None,
        typer.Option(
            "--align",
            metavar="NAME",
            help="How B is aligned first: as wsp align --method, or none to take it as it is. By default weights, and "
            "for --method pleas and zipit activations.",
            show_default=False,
        ),
    ] = None,
    restarts: options.Restarts = options.DEFAULT_RESTARTS,
    kinds: options.Kinds = options.DEFAULT_KINDS,
    match_samples: options.MatchSamples = options.DEFAULT_MATCH_SAMPLES,
    data: options.Data = None,
    mean: options.Mean = None,
    std: options.Std = None,
    reset_samples: options.ResetSamples = options.DEFAULT_RESET_SAMPLES,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=0,
            metavar="N",
            help="With --method pleas: passes over the data that train all together.",
        ),
    ] = 8,
    size: Annotated[
        float | None,
        typer.Option(
            "--size",
            metavar="X",
            help="With --method pleas: how large the merged network may be, 1 for one of them, 2 for both side by "
            "side; units that are least alike are kept apart. OUT is then a folder.",
            show_default=False,
        ),
    ] = None,
    size_by: Annotated[
        str, typer.Option("--size-by", metavar="NAME", help="What --size counts: parameters or flops.")
    ] = "parameters",
    apart: Annotated[
        str | None,
        typer.Option(
            "--apart",
            metavar="GROUP=SHARE,...",
            help="In place of --size: the share kept apart of some groups, named as wsp spec shows them.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="WEIGHT",
            help="With --method zipit: the layer with that weight is the last to be zipped; behind it both networks go "
            "on side by side. OUT is then a folder.",
            show_default=False,
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="After averaging rescale and shift every unit, so that on --data its mean and its standard deviation "
            "are the means of those in A and B (REPAIR); before batch norms their statistics do that.",
        ),
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge checkpoints: by a recipe (mergekit's run as they are), by a method on weights, or with their networks.

    With --data the running statistics of batch norms are measured again on the merged network.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with console.owning_stdout():
        given = recipes.given_options(context)
        recipe = recipes.given_recipe(models, given)
        if recipe is None:
            flags = {
                "t": t, "heads": heads, "rounds": rounds, "size": size, "size_by": size_by, "apart": apart,
                "until": until, "repair": repair, "reset_samples": reset_samples,
            }  # fmt: skip
            more = recipes.fields_of_flags(
                method, align, kinds, restarts, match_samples, data, mean, std, arch, activation, input_shape
            )
            more |= {} if tokenizer is None else {"tokenizer_source": tokenizer}
            recipe = recipes.recipe_of_flags(
                models, method, base=base, settings=settings or [], dtype=dtype, seed=seed, more=more, flags=flags,
                given=given,
            )  # fmt: skip
        asked = networks.asked_of(recipe, models)
        if asked is not None:
            if asked.method.models == (2, 2):
                merge_two(console, asked, output, device, dry_run=dry_run)
            elif dry_run:
                networks.show_check(console, asked, output)
            else:
                merge_several(console, asked, output, device)
            return
        found = streamed.prepared(recipe, models, output, console, aligns=not dry_run, shard_size=shard_size)
        if dry_run:
            streamed.show_plan(console, found)
        else:
            streamed.merge_streamed(console, found)
