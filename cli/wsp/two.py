"""`wsp merge` of two networks: by the mean of aligned weights, or by features."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsp import heads as both_heads
from wsp import repair
from wsp.aligning import AlignedPair, align_pair, on, show_alignment
from wsp.asked_pair import pair_request
from wsp.averaging import averaged
from wsp.console import Console
from wsp.doubts import warn_of_data
from wsp.dry_run import stored, tell
from wsp.features import Merging, by_features
from wsp.outcome import Outcome, beside, show_statistics
from wsp.pair import Pair, opened
from wsp.pleas import merged_by_pleas
from wsp.scores import scores_of, show_scores
from wsp.sizing import check_folder, sizing_of
from wsp.zipit import merged_by_zipit

if TYPE_CHECKING:
    from weightspace.merge.networks import NetworkMerge


def merge_two(console: Console, asked: NetworkMerge, output: Path, device: str, *, dry_run: bool = False) -> None:
    """Merges, writes, and says what was done; with `dry_run` what would be, once everything is opened and checked.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    from weightspace.checkpoint import check_output
    from weightspace.merge.networks import RebasinOptions

    options, heads = asked.options, getattr(asked.options, "heads", None)
    mean = options if isinstance(options, RebasinOptions) else None
    request = pair_request(
        asked.recipe, *map(Path, asked.models), device=device,
        heads=both_heads.shares_of(heads, 0.5 if mean is None else mean.t),
    )  # fmt: skip
    merging = None if mean is not None else _merging(asked, output)
    check_output(output, [request.a, request.b])
    pair = opened(request, console, evaluates=False, network=asked.align is not None or request.data is not None)
    if options.goes_by_data:
        repair.require_function(pair)
    warn_of_data(pair, console)
    if dry_run:
        wider = any(getattr(options, name, None) is not None for name in ("size", "apart", "until"))
        infos = stored(pair.a) + (stored(pair.b) if wider else [])  # at most both side by side
        tell(console, output, infos, at_most=wider)
        return
    result = None if asked.align is None else align_pair(pair, console)
    if mean is not None:
        outcome = averaged(pair, result, console, t=mean.t, samples=options.reset_samples, repairs=mean.repair)
    else:
        assert merging is not None
        assert result is not None
        outcome = by_features(pair, result, console, merging, samples=options.reset_samples)
    _publish(console, asked, pair, result, outcome, output)


def _merging(asked: NetworkMerge, output: Path) -> Merging:
    """How features are merged."""
    from weightspace.merge.networks import PleasOptions, ZipitOptions

    data, options = asked.data[0], asked.options
    assert data is not None
    if isinstance(options, PleasOptions):
        sizing = sizing_of(options, output)
        return partial(merged_by_pleas, passes=options.rounds, sizing=sizing, samples=data.samples)
    assert isinstance(options, ZipitOptions)
    if options.until is not None:
        check_folder(output)
    return partial(merged_by_zipit, until=options.until, samples=data.samples)


def _publish(
    console: Console, asked: NetworkMerge, pair: Pair, result: AlignedPair | None, outcome: Outcome, output: Path
) -> None:
    """Writes the merged network, and says what it is."""
    merged, statistics = outcome.merged, outcome.merged.statistics
    samples = asked.options.reset_samples
    recipe = {} if result is None else result.recipe()
    recipe |= {**outcome.recipe, "statistics": statistics, "reset_samples": samples}
    _write(output, asked, pair, outcome, recipe)
    scores = scores_of(pair, merged.tensors, None if outcome.form is None else outcome.form.program, samples)
    document = {"a": str(pair.request.a), "b": str(pair.request.b)}
    document |= {} if result is None else result.alignment.report()
    document |= {**outcome.recipe, **both_heads.recipe(pair), "scores": scores, "statistics": statistics}
    console.document({**document, "output": str(output), "notes": console.notes})
    if result is not None:
        show_alignment(console, result, f"{pair.request.b} aligned to {pair.request.a}")
    outcome.show(console)
    both_heads.show_heads(console, pair)
    show_scores(console, scores)
    show_statistics(console, outcome, output)


def _write(output: Path, asked: NetworkMerge, pair: Pair, outcome: Outcome, recipe: dict[str, Any]) -> None:
    import torch

    from weightspace.checkpoint import companions_of, write_checkpoint

    form = outcome.form
    known = (companions_of(pair.a), {}) if form is None else (form.companions, form.texts)
    companions, texts = both_heads.described(pair, *known)
    resolved, more = beside(asked, output)
    write_checkpoint(
        output,
        on(torch.device("cpu"), outcome.merged.tensors | ({} if form is None else dict(form.constants))),
        provenance=pair.provenance("wsp merge", recipe | resolved),
        aliases=pair.a.aliases() if form is None or form.as_it_was else {},
        inputs=[pair.request.a, pair.request.b],
        companions=companions,
        texts=texts | more,
    )
