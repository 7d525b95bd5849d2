"""Which groups of a network come into being after a given layer, for a zip that stops there."""

from __future__ import annotations

from weightspace.errors import SpecError
from weightspace.merge.separable import reads_of
from weightspace.symmetry import Spec
from weightspace.symmetry.sites import Sites


def groups_after(sites: Sites, spec: Spec, after: str) -> tuple[str, ...]:
    """The groups whose first units are made by layers that run after the one of a given weight.

    With these kept apart `zipit` zips all that comes before, and the rest runs for every network on its own. A residual
    stream counts where it begins.

    Args:
        sites: Of the network, in the order in which they run.
        spec: Its symmetry.
        after: Name of the weight. The group that its layer makes is not among those that come after.

    Raises:
        SpecError: No layer multiplies by that parameter.
    """
    weight = spec.aliases.get(after, after)
    at = min((site.number for site in sites.sites if site.weight == weight), default=None)
    if at is None:
        such = f", such as {sites.sites[0].weight}" if sites.sites else ""
        raise SpecError(f"{after}: expected the weight of a layer{such}, found no layer that multiplies by it")
    reads = reads_of(sites)
    found = []
    for group in spec.groups:
        making = {tensor for tensor, axis in spec.occurrences(group.name) if axis not in reads.get(tensor, ())}
        made = [site.number for site in sites.sites if site.weight in making]
        if made and min(made) > at:
            found.append(group.name)
    return tuple(found)
