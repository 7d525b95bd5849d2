"""`wsp merge` by the mean of weights, brought back to its spread where that was asked for."""

from __future__ import annotations

from wsp import repair
from wsp.aligning import AlignedPair, on
from wsp.console import Console
from wsp.outcome import Outcome
from wsp.pair import Pair


def averaged(
    pair: Pair, result: AlignedPair | None, console: Console, *, t: float, samples: int, repairs: bool
) -> Outcome:
    """The mean of A and of B, aligned or as it is.

    Args:
        pair: What is merged.
        result: B in the coordinates of A; None for B as it is.
        console: Shows the progress.
        t: Share of B.
        samples: Examples to measure statistics of batch norms on.
        repairs: Whether to rescale and shift every unit, too.
    """
    from weightspace.merge import merge

    a, b = pair.a.tensors(), pair.b.tensors() if result is None else dict(result.aligned)
    a, b, corrected = on(pair.device, a), on(pair.device, b), None
    if repairs:
        merged, corrected = repair.repaired(pair, console, a, b, t, samples=samples)
    else:
        program = None if pair.network is None else pair.network.program
        batches = None if pair.data is None else pair.data.statistics(samples)
        merged = merge(a, b, t=t, program=program, batches=batches)
    for note in merged.notes:
        console.warn(note)
    if pair.data is not None and merged.statistics == "none" and not repairs:
        console.note("the network has no batch norm, so there were no statistics to measure on --data")
    recipe = {"t": t, "aligned": result is not None, **repair.recipe(corrected)}
    return Outcome(f"at t = {t:g}", merged, recipe, lambda console: repair.show_repair(console, corrected))
