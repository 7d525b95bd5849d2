"""`wsp merge --method pleas`: how it runs, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsp.aligning import AlignedPair
from wsp.console import Console
from wsp.features import ByFeatures, origins_of
from wsp.pair import Pair
from wsp.sizing import Sizing, form_of, show_sizing, sized_network, sizing_recipe

if TYPE_CHECKING:
    from weightspace.merge import Pleas


def merged_by_pleas(
    pair: Pair, result: AlignedPair, console: Console, *, passes: int, samples: int, sizing: Sizing | None = None
) -> ByFeatures:
    """Least squares layer by layer, then distillation for so many passes over so many examples."""
    from weightspace.merge import pleas

    assert pair.network is not None
    origins = origins_of(pair, result)
    program = origins.program
    sized = None if sizing is None else sized_network(origins, sizing, pair.network.source, console)
    with console.progress("merging") as step:
        found = pleas(
            (origins.a, origins.b), program, lambda: (program.inputs_for(x) for x, _ in origins.data.training(samples)),
            wide=None if sized is None else sized.wide, passes=passes, seed=pair.request.seed, progress=step,
        )  # fmt: skip
    recipe = {"merge": "pleas", "passes": passes, "residuals": dict(found.residuals), "losses": list(found.losses)}
    if sized is None:
        return ByFeatures("PLeaS", found.state, recipe, lambda console: _show(console, found))
    assert found.stored is not None
    form, chosen = form_of(found.stored, found.state, pair), sizing_recipe(sized, found, pair)

    def show(console: Console) -> None:
        show_sizing(console, sized, chosen)
        _show(console, found)

    return ByFeatures("PLeaS", found.state, {**recipe, **chosen}, show, form)


def _show(console: Console, found: Pleas) -> None:
    """The table of layers, for people."""
    console.table(
        ("weight", "#left of its targets"),
        [(name, f"{share:.1%}") for name, share in found.residuals.items()],
        title="layers solved for",
    )
    if found.losses:
        first, last = found.losses[0], min(found.losses)
        console.line(f"distilled: distance from the mean outputs {first:.4g} before, {last:.4g} after")
