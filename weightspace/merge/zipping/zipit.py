"""ZipIt (Stoica et al. 2023): units of several networks merged by how alike they are, within each network and across.

Unlike a permutation a zip need not pair every unit with one of the other network: what a network has twice is merged
with itself, which leaves room for what the other has no counterpart of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.align.similarity import joint_similarities
from weightspace.errors import SpecError
from weightspace.merge.combine import combine
from weightspace.merge.homes import Homes
from weightspace.merge.separable import reads_of
from weightspace.merge.wide import Wide
from weightspace.merge.widening import Widening, widening_of
from weightspace.merge.zipping.greedy import zip_units
from weightspace.merge.zipping.zippable import not_zippable
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec
from weightspace.symmetry.taps import Depth

State = Mapping[str, Tensor]
ALPHA, BETA = 0.3, 0.125  # of the paper


@dataclass(frozen=True, slots=True)
class ZippedGroup:
    """What became of a group: its units of all networks are of one of three kinds.

    Attributes:
        name: Its name.
        size: Units in the merged network.
        across: How many units share a home with one of another network.
        within: How many share a home with others of their own network alone.
        alone: How many have a home of their own.
    """

    name: str
    size: int
    across: int
    within: int
    alone: int


@dataclass(frozen=True)
class Zipped:
    """A network zipped from several.

    Attributes:
        state: Its weights, in float32 or wider. Statistics of batch norms have to be measured again: variances of
            merged units are not the mean of their variances.
        program: The network as a function of these weights; another one where groups were kept apart.
        homes: Where the units went.
        groups: What became of the groups that were zipped or kept apart.
        paired: Why units of other groups stayed with their counterparts, by name.
        wide: The wider network, as `weightspace.merge.stored.Stored` takes it; None at the size of one.
    """

    state: dict[str, Tensor]
    program: Program
    homes: Homes
    groups: tuple[ZippedGroup, ...]
    paired: Mapping[str, str]
    wide: Wide | None = None


def zipit(
    models: Sequence[State],
    program: Program,
    spec: Spec,
    batches: Iterable[Inputs],
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    depth: Depth = "all",
    apart: Collection[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> Zipped:
    """Zips networks into one, of the size of one but for groups that are kept apart; labels are not used.

    Groups that may not be zipped (nested ones, streams under layer norms) keep unit i of all networks together.

    Args:
        models: Weights of the networks, aligned to each other in what may not be zipped.
        program: The network.
        spec: Its symmetry.
        batches: Calls of the network.
        alpha: How much less alike units are once they are merged, see `zip_units`.
        beta: Share of the units of a network that may be lost to merges within it.
        depth: Where units are compared, see `weightspace.symmetry.taps.Tap`.
        apart: Groups of which every unit gets a home of its own; see `groups_after` for a zip of the trunk alone. Such
            a network is wider.
        progress: Called with (steps done, steps, what is going on).

    Raises:
        AlignmentError: The network has other groups on these inputs than the spec says, or no activation is finite.
        DataError: No batch.
        SourceError: The network runs other operators than its trace; or it is to grow, and `torch.export` does not
            understand it.
        SpecError: A group that is to be kept apart may not grow.
        ValueError: `alpha` or `beta` is not from 0 to 1.
    """
    reads = reads_of(program.sites(program.inputs))
    paired = not_zippable(program, spec, reads)
    widening = _widening(program, spec, apart) if apart else None
    names = [group.name for group in spec.groups if group.name not in paired and group.name not in apart]
    found = joint_similarities(
        program, models, spec, batches, groups=names, depth=depth,
        progress=None if progress is None else lambda done: progress(0, len(names), f"batch {done}"),
    )  # fmt: skip
    count = len(models)
    homes: dict[str, Sequence[Tensor]] = {}
    for group in spec.groups:
        if group.name in apart:
            homes[group.name] = torch.arange(count * group.size).split(group.size)
        elif group.name in found.of:
            if progress is not None:
                progress(len(homes), len(names), group.name)
            similar = found.of[group.name].squeeze(0)
            homes[group.name] = zip_units(similar, count, group.size, alpha=alpha, beta=beta)
        else:
            paired.setdefault(group.name, "its units are nowhere seen on their own")
    counted = tuple(_counted(name, each) for name, each in homes.items())
    sizes = {group.name: group.size for group in counted}
    zipped = Homes(spec, sizes, tuple({name: each[at] for name, each in homes.items()} for at in range(count)))
    wide = None if widening is None else Wide.of(widening, zipped, models)
    return Zipped(
        combine(zipped, models, reads) if wide is None else wide.state,
        program if wide is None else wide.program,
        zipped,
        counted,
        {name: reason for name, reason in paired.items() if name not in apart},
        wide,
    )


def _widening(program: Program, spec: Spec, apart: Collection[str]) -> Widening:
    """How the network grows in some groups."""
    widening = widening_of(program, spec)
    for name in apart:
        if name not in widening.groups:
            reason = widening.refused.get(name, "there is none of that name")
            raise SpecError(f"group '{name}': expected one that may be kept apart, found that {reason}")
    return widening


def _counted(name: str, homes: Sequence[Tensor]) -> ZippedGroup:
    size = 1 + max(int(own.max()) for own in homes)
    held = torch.stack([torch.bincount(own, minlength=size) for own in homes])
    units, networks = held.sum(0), (held > 0).sum(0)
    across = int(units[networks > 1].sum())
    alone = int((units == 1).sum())
    return ZippedGroup(name, size, across, int(units.sum()) - across - alone, alone)
