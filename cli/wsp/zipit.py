"""`wsp merge --method zipit`: how it runs, and what it shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from wsp.aligning import AlignedPair
from wsp.console import Console, counted
from wsp.features import ByFeatures, origins_of
from wsp.pair import Pair
from wsp.sizing import form_of

if TYPE_CHECKING:
    from weightspace.merge import Zipped


def merged_by_zipit(
    pair: Pair, result: AlignedPair, console: Console, *, samples: int, until: str | None = None
) -> ByFeatures:
    """Units merged by how alike they are, within each network and across; what may not be zipped stays aligned.

    Args:
        pair: What is merged.
        result: B in the coordinates of A.
        console: Shows the progress.
        samples: Examples to go by.
        until: Weight of the layer after which both networks stay as they are, side by side.

    Raises:
        SpecError: There is no such layer, or the network cannot grow behind it.
    """
    from weightspace.merge import groups_after, zipit
    from weightspace.merge.stored import Stored

    origins = origins_of(pair, result)
    program = origins.program
    apart = () if until is None else groups_after(program.sites(program.inputs), origins.spec, until)
    with console.progress("zipping") as step:
        found = zipit(
            (origins.a, origins.b), program, origins.spec,
            (program.inputs_for(x) for x, _ in origins.data.matching(samples)), apart=apart, progress=step,
        )  # fmt: skip
    recipe = {"merge": "zipit", "zipped": [asdict(group) for group in found.groups], "paired": dict(found.paired)}
    if found.wide is None:
        return ByFeatures("ZipIt", found.state, recipe, lambda console: _show(console, found))
    stored = Stored.of(found.wide)
    state = stored.state(found.state)
    parameters = [program.parameters, stored.program.parameters]

    def show(console: Console) -> None:
        _show(console, found)
        after = parameters[1] / parameters[0]
        console.line(
            f"parameters: {parameters[0]:,} in one network, {parameters[1]:,} in the merged one ({after:.3f}x)"
        )

    return ByFeatures(
        f"ZipIt until {until}", state, recipe | {"until": until, "parameters": parameters}, show,
        form_of(stored, state, pair),
    )  # fmt: skip


def _show(console: Console, found: Zipped) -> None:
    """The table of groups, for people."""
    console.table(
        ("group", "#size", "#across", "#within", "#alone"),
        [(g.name, f"{g.size:,}", f"{g.across:,}", f"{g.within:,}", f"{g.alone:,}") for g in found.groups],
        title="units of A and B that share a home with units of the other, of their own, with none",
    )
    if found.paired:
        console.line(f"{counted(len(found.paired), 'group')} not zipped, but merged as aligned:")
        for name, reason in found.paired.items():
            console.line(f"  {name}: {reason}")
