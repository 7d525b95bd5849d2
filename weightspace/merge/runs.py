"""The runs of several networks on the same calls, side by side, from layer to layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from weightspace.errors import SourceError
from weightspace.source import Inputs, Program
from weightspace.source.walking import Plan, Walk
from weightspace.source.watching import Passing
from weightspace.symmetry.sites import Site

State = Mapping[str, Tensor]
_HELD = 6 << 30  # bytes of values that may wait while layers are solved for


class Runs:
    """What passes the layers of a merged network, as it becomes, and of its origins.

    Runs are held up at each layer and go on from there. Where their values would take too much memory each begins anew
    for every layer, and where `torch.export` does not understand the network it runs as it is.

    Attributes:
        names: Names of the weights of the layers, in the order in which they run.
    """

    def __init__(
        self, program: Program, models: Sequence[State], calls: Sequence[Inputs], *, merged: Program, start: State
    ) -> None:
        """Prepares the runs.

        Args:
            program: The network of the origins.
            models: Their weights.
            calls: Calls of it.
            merged: The merged network.
            start: Its weights, of which the type and the device count.

        Raises:
            TraceError: A forward pass cannot be recorded.
        """
        self._models, self._calls = models, calls
        self._programs = (merged, *[program] * len(models))
        self._sites = {site.weight: site for site in merged.sites(merged.call_of(calls[0])).alone}
        own = {site.weight for site in program.sites(calls[0]).alone}
        self.names = tuple(name for name in self._sites if name in own)
        self._like = next(tensor for tensor in start.values() if tensor.is_floating_point())
        self._plans = self._planned()
        self._walks: dict[tuple[int, int], Walk] = {}
        self._holds = self._fits(start)

    def site(self, name: str) -> Site:
        """A layer of the merged network."""
        return self._sites[name]

    def passing(self, state: State, name: str) -> Iterator[tuple[Passing, list[Passing]]]:
        """What passes a layer in the merged network and in its origins, call by call; ask for every layer in turn.

        Args:
            state: The merged weights as they are now.
            name: The weight of the layer.
        """
        for number in range(len(self._calls)):
            found = [self._one(which, each, number, name) for which, each in enumerate((state, *self._models))]
            yield found[0], found[1:]

    def _one(self, which: int, state: State, number: int, name: str) -> Passing:
        program, inputs = self._programs[which], self._programs[which].call_of(self._calls[number])
        sites = program.sites(inputs)
        site = next(site for site in sites.alone if site.weight == name)
        if self._plans is None:
            seen: list[Passing] = []
            program.watch(state, inputs, sites, [site], lambda _, passing: seen.append(passing))
            return seen[0]
        walk = self._walks.pop((which, number), None) or Walk(self._plans[which], inputs, self._like)
        passing = walk.up_to(state, site) if which == 0 else walk.through(state, site)
        if self._holds:
            self._walks[which, number] = walk
        return passing

    def _planned(self) -> tuple[Plan, ...] | None:
        """Where the layers are in the graphs of the networks; None where they cannot be found."""
        plans: dict[int, Plan] = {}
        for program in {id(program): program for program in self._programs}.values():
            try:
                exported = program.exported()
            except SourceError:
                return None
            alone = program.sites(program.call_of(self._calls[0])).alone
            plans[id(program)] = Plan(exported, alone)
            if plans[id(program)].places.keys() < {site.weight for site in alone}:
                return None
        return tuple(plans[id(program)] for program in self._programs)

    def _fits(self, start: State) -> bool:
        """Whether all that waits may wait in memory: one call tells."""
        if self._plans is None:
            return False
        waiting = 0
        for program, plan, state in zip(self._programs, self._plans, (start, *self._models), strict=True):
            inputs = program.call_of(self._calls[0])
            walk, most = Walk(plan, inputs, self._like), 0
            for site in program.sites(inputs).alone:
                walk.through(state, site)
                most = max(most, walk.held)
            waiting += most * len(self._calls)
        return waiting <= _HELD
