"""How good a merged network is beside those that it was made of, where the data have labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError
from wsp.aligning import on
from wsp.console import Console
from wsp.pair import Pair

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.source import Program

_EXAMPLES = 2000
_TITLES = {"a": "A", "b": "B", "averaged": "averaged as they are", "merged": "merged"}


def scores_of(
    pair: Pair, merged: Mapping[str, Tensor], program: Program | None, reset_samples: int
) -> dict[str, dict[str, float]]:
    """Loss and accuracy of A, B, their mean as they are, and the merged network; empty without labels for them.

    It is empty too where heads with different classes are kept.

    Args:
        pair: What was merged.
        merged: The merged weights.
        program: The merged network, where it has another width than A and B.
        reset_samples: Examples to measure the statistics of batch norms of the mean on.
    """
    from weightspace.evaluate import evaluate
    from weightspace.merge import merge

    if pair.data is None or pair.network is None or pair.network.program is None:
        return {}
    if pair.heads is not None:  # labels may count the classes of A, of B, or of both
        return {}
    own = pair.network.program
    a, b = (on(pair.device, each.tensors()) for each in (pair.a, pair.b))

    def score(network: Program, state: Mapping[str, Tensor]) -> dict[str, float]:
        assert pair.data is not None
        found = evaluate(network, state, pair.data.evaluation(_EXAMPLES))
        return {"loss": found.loss, "accuracy": found.accuracy, "examples": found.samples}

    try:
        first = score(own, a)
    except DataError:  # no labels, or none of this network
        return {}
    averaged = merge(a, b, program=own, batches=pair.data.statistics(reset_samples)).tensors
    states = {"b": (own, b), "averaged": (own, averaged), "merged": (program or own, on(pair.device, merged))}
    return {"a": first, **{name: score(*each) for name, each in states.items()}}


def show_scores(console: Console, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """The same, for people."""
    if scores:
        console.table(
            ("network", "#loss", "#accuracy"),
            [(_TITLES[name], f"{each['loss']:.4f}", f"{each['accuracy']:.2%}") for name, each in scores.items()],
            title=f"{scores['merged']['examples']:,} examples",
        )
