"""`wsp merge` of any number of networks: what is written and said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError
from wsp.aligning import on
from wsp.by_data import merged_by
from wsp.console import Console
from wsp.outcome import Outcome, beside, show_statistics
from wsp.several import Several, opened_several

if TYPE_CHECKING:
    from weightspace.merge.networks import NetworkMerge

_EXAMPLES = 2000


def merge_several(console: Console, asked: NetworkMerge, output: Path, device: str) -> None:
    """Merges, writes, and says what was done.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    from weightspace.checkpoint import check_output

    check_output(output, asked.models)
    several = opened_several(asked, console, device)
    outcome = merged_by(several, console)
    for note in outcome.merged.notes:
        console.warn(note)
    _write(several, outcome, output)
    scores = _scores(several, outcome)
    console.document({
        "models": list(asked.models), "alignments": dict(several.alignments), **outcome.recipe, "scores": scores,
        "statistics": outcome.merged.statistics, "output": str(output), "notes": console.notes,
    })  # fmt: skip
    outcome.show(console)
    if scores:
        console.table(
            ("network", "#loss", "#accuracy"),
            [(name, f"{each['loss']:.4f}", f"{each['accuracy']:.2%}") for name, each in scores.items()],
            title=f"{scores['merged']['examples']:,} examples",
        )
    show_statistics(console, outcome, output)


def _write(several: Several, outcome: Outcome, output: Path) -> None:
    import torch

    from weightspace.checkpoint import Provenance, companions_of, write_checkpoint

    first, options = several.checkpoints[0], several.asked.options
    resolved, texts = beside(several.asked, output)
    network = several.pair.network
    recipe: dict[str, Any] = {
        "arch": None if network is None else network.label,
        "spec": None if network is None else network.spec.hash,
        "data": [None if each is None else each.recipe() for each in several.data],
        "device": several.pair.device.type, "alignments": dict(several.alignments), **outcome.recipe,
        "statistics": outcome.merged.statistics, "reset_samples": options.reset_samples, **resolved,
    }  # fmt: skip
    inputs = {str(each.path): each.sha256() for each in several.checkpoints}
    write_checkpoint(
        output,
        on(torch.device("cpu"), outcome.merged.tensors),
        provenance=Provenance("wsp merge", recipe, inputs, seed=several.asked.recipe.seed),
        aliases=first.aliases(),
        inputs=[each.path for each in several.checkpoints],
        companions=companions_of(first),
        texts=texts,
    )


def _scores(several: Several, outcome: Outcome) -> dict[str, dict[str, float]]:
    """Loss and accuracy of all models and of the merged one; empty without data for all, or without labels for them."""
    from weightspace.evaluate import evaluate

    if several.pair.data is None:
        return {}
    states = dict(zip(several.asked.models, several.states, strict=True))
    states["merged"] = on(several.pair.device, outcome.merged.tensors)
    found = {}
    try:
        for name, state in states.items():
            score = evaluate(several.program, state, several.pair.data.evaluation(_EXAMPLES))
            found[name] = {"loss": score.loss, "accuracy": score.accuracy, "examples": score.samples}
    except DataError:  # no labels, or none of this network
        return {}
    return found
