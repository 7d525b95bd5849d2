"""`wsp merge`: one network from two."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from weightspace.errors import MergeError
from wsp import heads as both_heads
from wsp import options, repair, streamed
from wsp.aligning import AlignedPair, align_pair, on, show_alignment
from wsp.averaging import averaged
from wsp.console import Console
from wsp.doubts import warn_of_data
from wsp.dry_run import DryRun, stored, tell
from wsp.errors import reports_errors
from wsp.features import Merging, by_features, check_request
from wsp.outcome import Outcome
from wsp.pair import Pair, PairRequest, opened
from wsp.pleas import merged_by_pleas
from wsp.scores import scores_of, show_scores
from wsp.sizing import Sizing, sizing_of
from wsp.zipit import check_until, merged_by_zipit

_AS_IT_IS = "none"
_OF_NETWORKS = ("rebasin", "pleas", "zipit")
_TOLD = {"measured": "measured on the data", "interpolated": "interpolated", "none": "none in this network"}


@reports_errors
def merge(
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
    repairs: Annotated[
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
        from weightspace.checkpoint import check_output

        recipe = streamed.given_recipe(models)
        streamed.check_tokenizer(tokenizer, recipe, method if method in _OF_NETWORKS else None)
        if recipe is None and method not in _OF_NETWORKS:
            more = streamed.fields_of_flags(align, kinds, restarts, match_samples, data, mean, std, arch)
            recipe = streamed.recipe_of_flags(
                models,
                method,
                base=base,
                settings=settings or [],
                dtype=dtype,
                seed=seed,
                tokenizer=tokenizer,
                more=more,
            )
        if recipe is not None:
            found = streamed.prepared(recipe, models, output, console, aligns=not dry_run, shard_size=shard_size)
            if dry_run:
                streamed.show_plan(console, found)
            else:
                streamed.merge_streamed(console, found)
            return
        if len(models) != 2:
            raise MergeError(f"--method {method}: expected two models, found {len(models)}; give A and B")
        a, b = models
        sizing = sizing_of(size, size_by, apart, method=method, output=output)
        check_until(until, method=method, output=output)
        merging = _merging(method, rounds, sizing, until)
        by_align = align or ("weights" if merging is None else "activations")
        request = PairRequest(
            a, b, arch, activation, options.positive_integers("--input-shape", input_shape),
            data, options.floats("--mean", mean), options.floats("--std", std),
            "weights" if by_align == _AS_IT_IS else by_align, restarts, seed, device,
            match_samples, options.names("--kinds", kinds), heads=both_heads.shares_of(heads, t),
        )  # fmt: skip
        if repairs:
            repair.check_repair(request, method, averages=merging is None)
        if merging is not None:
            check_request(request, method, as_it_is=by_align == _AS_IT_IS, t=t)
        check_output(output, [request.a, request.b])
        pair = opened(request, console, evaluates=False, network=by_align != _AS_IT_IS or data is not None)
        if repairs:
            repair.require_function(pair)
        warn_of_data(pair, console)
        if dry_run:
            apart_too = sizing is not None or until is not None  # then up to both side by side
            infos = stored(pair.a) + (stored(pair.b) if apart_too else [])
            tell(console, output, infos, at_most=apart_too)
            return
        result = None if by_align == _AS_IT_IS else align_pair(pair, console)
        if merging is None or result is None:
            outcome = averaged(pair, result, console, t=t, samples=reset_samples, repairs=repairs)
        else:
            outcome = by_features(pair, result, console, merging, samples=reset_samples)
        _publish(console, pair, result, outcome, output, reset_samples)


def _merging(method: str, rounds: int, sizing: Sizing | None, until: str | None) -> Merging | None:
    """How features are merged by a method; None for one that averages weights."""
    merges: dict[str, Merging | None] = {
        "rebasin": None,
        "pleas": partial(merged_by_pleas, passes=rounds, sizing=sizing),
        "zipit": partial(merged_by_zipit, until=until),
    }
    return merges[method]


def _publish(
    console: Console, pair: Pair, result: AlignedPair | None, outcome: Outcome, output: Path, reset_samples: int
) -> None:
    """Writes the merged network, and says what it is."""
    merged, statistics = outcome.merged, outcome.merged.statistics
    recipe = {} if result is None else result.recipe()
    recipe |= {**outcome.recipe, "statistics": statistics, "reset_samples": reset_samples}
    _write(output, pair, outcome, recipe)
    scores = scores_of(pair, merged.tensors, None if outcome.form is None else outcome.form.program, reset_samples)
    document = {"a": str(pair.request.a), "b": str(pair.request.b)}
    document |= {} if result is None else result.alignment.report()
    document |= {**outcome.recipe, **both_heads.recipe(pair), "scores": scores, "statistics": statistics}
    console.document({**document, "output": str(output), "notes": console.notes})
    if result is not None:
        show_alignment(console, result, f"{pair.request.b} aligned to {pair.request.a}")
    outcome.show(console)
    both_heads.show_heads(console, pair)
    show_scores(console, scores)
    console.line(f"merged {outcome.how}; statistics of batch norms: {_TOLD[statistics]}")
    console.line(f"written to {output}")


def _write(output: Path, pair: Pair, outcome: Outcome, recipe: dict[str, Any]) -> None:
    import torch

    from weightspace.checkpoint import companions_of, write_checkpoint

    form = outcome.form
    beside = (companions_of(pair.a), {}) if form is None else (form.companions, form.texts)
    companions, texts = both_heads.described(pair, *beside)
    write_checkpoint(
        output,
        on(torch.device("cpu"), outcome.merged.tensors | ({} if form is None else dict(form.constants))),
        provenance=pair.provenance("wsp merge", recipe),
        aliases=pair.a.aliases() if form is None or form.as_it_was else {},
        inputs=[pair.request.a, pair.request.b],
        companions=companions,
        texts=texts,
    )
