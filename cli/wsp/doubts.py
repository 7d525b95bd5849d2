"""What speaks against the data of a command, before its work starts."""

from __future__ import annotations

from wsp.console import Console
from wsp.pair import Pair

_EXAMPLES = 256


def warn_of_data(pair: Pair, console: Console) -> None:
    """Warns of data that one of the networks was not trained on, as far as its activations tell.

    Raises:
        DataError: What a network gives on them is not finite.
    """
    from weightspace.stats import doubts_about

    data, program = pair.data, None if pair.network is None else pair.network.program
    source = None if pair.network is None else pair.network.source
    if data is None or program is None or source is None or source.evaluation_refusal() is not None:
        return
    for checkpoint in (pair.a, pair.b):
        doubts = doubts_about(
            program, checkpoint.tensors(), lambda: (program.inputs_for(x) for x, _ in data.matching(_EXAMPLES))
        )
        for doubt in doubts:
            console.warn(f"{doubt} (seen in {checkpoint.path})")
        if doubts:
            return  # the other one would say the same
