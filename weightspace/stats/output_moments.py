"""Mean and variance of what the layers of a network give, over data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from weightspace.source import Inputs, Program
from weightspace.source.watching import Passing
from weightspace.stats.moments import ChannelMoments
from weightspace.symmetry.sites import Site, Sites


def output_moments(
    program: Program,
    state: Mapping[str, Tensor],
    batches: Iterable[Inputs],
    choose: Callable[[Sites], Sequence[Site]],
) -> dict[str, ChannelMoments]:
    """Measures the units of some layers in one pass; every row, and every position of a convolution, is a sample.

    Args:
        program: The network.
        state: Its weights.
        batches: Calls of the network.
        choose: Which of the sites on inputs of some shape to see; those whose weight no other has.

    Returns:
        Name of the weight of each -> the moments of what it gives, bias included.

    Raises:
        SourceError: The network runs other operators than its trace.
    """
    found: dict[str, ChannelMoments] = {}

    def add(site: Site, passing: Passing) -> None:
        found.setdefault(site.weight, ChannelMoments()).add(passing.output)

    for inputs in batches:
        sites = program.sites(inputs)
        program.watch(state, inputs, sites, choose(sites), add)
    return found
