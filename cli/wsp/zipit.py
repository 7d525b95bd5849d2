"""`wsp merge --method zipit`: how it runs, and what it shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from wsp.aligning import AlignedPair
from wsp.console import Console, counted
from wsp.features import ByFeatures, origins_of
from wsp.pair import Pair

if TYPE_CHECKING:
    from weightspace.merge import Zipped


def merged_by_zipit(pair: Pair, result: AlignedPair, console: Console) -> ByFeatures:
    """Units merged by how alike they are, within each network and across; what may not be zipped stays aligned."""
    from weightspace.merge import zipit

    origins = origins_of(pair, result)
    program, samples = origins.program, pair.request.match_samples
    with console.progress("zipping") as step:
        found = zipit(
            (origins.a, origins.b), program, origins.spec,
            (program.inputs_for(x) for x, _ in origins.data.matching(samples)), progress=step,
        )  # fmt: skip
    return ByFeatures(
        "ZipIt",
        found.state,
        {"merge": "zipit", "zipped": [asdict(group) for group in found.groups], "paired": dict(found.paired)},
        lambda console: _show(console, found),
    )


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
