"""`wsp merge --repair`: how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from weightspace.errors import SourceError
from wsp.console import Console
from wsp.pair import Pair

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.merge import Correction, Merged


def require_function(pair: Pair) -> None:
    """Checks that it is known what the network computes.

    Raises:
        SourceError: An architecture was read off the tensors without --activation.
    """
    source = None if pair.network is None else pair.network.source
    refusal = None if source is None else source.evaluation_refusal()
    if refusal is not None:
        raise SourceError(refusal)


def repaired(
    pair: Pair, console: Console, a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float, *, samples: int
) -> tuple[Merged, Mapping[str, Correction]]:
    """The mean of two aligned networks with every unit brought back to its spread, and what was done to each layer.

    Args:
        pair: With data and a network.
        console: Shows the progress.
        a: Weights of the reference.
        b: Weights of the other network, aligned to it, on the same device.
        t: Share of B, in weights and in moments.
        samples: Examples to measure on.

    Raises:
        SourceError: The network runs other operators than its trace.
    """
    from weightspace.merge import finished, interpolate, repair

    network, data = pair.network, pair.data
    assert data is not None
    assert network is not None
    assert network.program is not None  # the data were tried on it
    program, merged = network.program, interpolate(a, b, t)
    with console.progress("repairing") as step:
        found = repair(
            program, (network.untied(a), network.untied(b)), network.untied(merged),
            lambda: (program.inputs_for(x) for x, _ in data.statistics(samples)), shares=(1 - t, t), progress=step,
        )  # fmt: skip
    state = network.under_all_names(found.state, merged)
    return finished(state, pair.dtypes, program, data.statistics(samples)), found.corrected


def recipe(corrected: Mapping[str, Correction] | None) -> dict[str, Any]:
    """What was done, as JSON values; nothing where nothing was."""
    if corrected is None:
        return {}
    return {"repaired": {name: asdict(correction) for name, correction in corrected.items()}}


def show_repair(console: Console, corrected: Mapping[str, Correction] | None) -> None:
    """The table of layers, for people."""
    if corrected is None:
        return
    rows = [
        (name, f"{each.units:,}", f"{each.dead:,}", f"{each.gain:.4g}", "yes" if each.shifted else "no: it has no bias")
        for name, each in corrected.items()
    ]
    console.table(("weight", "#units", "#left, dead", "#median factor", "shifted"), rows, title="layers repaired")
