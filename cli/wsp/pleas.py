"""`wsp merge --method pleas`: what it needs, and how it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weightspace.errors import DataError
from wsp.aligning import AlignedPair, on
from wsp.console import Console
from wsp.pair import Pair, PairRequest

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.merge import Pleas

NAME = "pleas"
_ALIGNING = "activations"


def aligning_first(request: PairRequest) -> PairRequest:
    """The request for the alignment that PLeaS begins with.

    Raises:
        DataError: There are no data.
    """
    if request.data is None:
        raise DataError(
            f"--method {NAME}: expected --data with examples, of which no label is used, found none; give data, or "
            "choose --method weights, which needs none"
        )
    return replace(request, method=_ALIGNING)


def merged_by_pleas(
    pair: Pair, result: AlignedPair, console: Console, *, passes: int
) -> tuple[dict[str, Tensor], Pleas]:
    """The merged weights under all their names, in float32 or wider, and how they came about."""
    from weightspace.merge import interpolate, pleas

    network, data = pair.network, pair.data
    assert data is not None
    assert network is not None
    assert network.program is not None  # activation matching has run it
    program, spec = network.program, network.spec
    one, two = (on(pair.device, dict(network.under_spec_names(each))) for each in (result.a, result.aligned))
    a, b = ({name: tensor for name, tensor in each.items() if name not in spec.aliases} for each in (one, two))
    samples = pair.request.match_samples
    with console.progress("merging") as step:
        found = pleas(
            (a, b), program, lambda: (program.inputs_for(x) for x, _ in data.training(samples)),
            passes=passes, seed=pair.request.seed, progress=step,
        )  # fmt: skip
    whole = interpolate(on(pair.device, result.a), on(pair.device, result.aligned), 0.5)
    return {name: found.state.get(spec.aliases.get(name, name), tensor) for name, tensor in whole.items()}, found


def recipe(found: Pleas, passes: int) -> dict[str, Any]:
    """What the merge was and achieved, as JSON values."""
    return {"merge": NAME, "passes": passes, "residuals": dict(found.residuals), "losses": list(found.losses)}


def show_pleas(console: Console, found: Pleas) -> None:
    """The table of layers, for people."""
    console.table(
        ("weight", "#left of its targets"),
        [(name, f"{share:.1%}") for name, share in found.residuals.items()],
        title="layers solved for",
    )
    if found.losses:
        first, last = found.losses[0], min(found.losses)
        console.line(f"distilled: distance from the mean outputs {first:.4g} before, {last:.4g} after")
