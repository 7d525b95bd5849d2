"""Seeing what goes into the layers of a network and what comes out, while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from typing_extensions import override

from weightspace.source.following import Following
from weightspace.symmetry.sites import Site, Sites


@dataclass
class Passing:
    """What passes a site, in copies.

    Attributes:
        inputs: What goes in: (rows, in), or (N, in, positions...) of a convolution.
        output: What the multiplication gives.
        normed: What the batch norm after it gives; the output where there is none.
        summed: What the sum after that gives, of the same shape; the same where there is none.
    """

    inputs: Tensor
    output: Tensor
    normed: Tensor
    summed: Tensor


Watch = Callable[[Site, Passing], None]


class Enough(BaseException):
    """Ends a run when all sites were seen; passes through the code of the network, which may catch exceptions."""


class Watching(Following):
    """Calls `watch` at some sites.

    Args:
        sites: All sites of the network on inputs of this shape.
        chosen: Those to see; the run ends after the last with `Enough`.
        watch: Called with every site when all that belongs to it has run.
        label: What messages call the network.
    """

    def __init__(self, sites: Sites, chosen: Sequence[Site], watch: Watch, label: str) -> None:
        super().__init__(sites.sequence, label)
        self._watch = watch
        self._begins = {site.number: site for site in chosen}
        self._norms = {site.norm.number: site for site in chosen if site.norm is not None}
        self._ends: dict[int, list[Site]] = {}
        for site in chosen:
            self._ends.setdefault(site.last, []).append(site)
        self._held: dict[int, Passing] = {}
        self._last = max(self._ends, default=-1)

    @override
    def seen(self, number: int, args: Sequence[Any], result: Any) -> None:
        if number in self._begins:
            site = self._begins[number]
            output = result.clone()
            self._held[number] = Passing(args[site.operand].clone(), output, output, output)
        elif number in self._norms:
            passing = self._held[self._norms[number].number]
            passing.normed = passing.summed = (result[0] if isinstance(result, tuple) else result).clone()
        for site in self._ends.get(number, ()):
            passing = self._held.pop(site.number)
            if site.sum == number:
                assert isinstance(result, Tensor)
                passing.summed = result.reshape(passing.output.shape).clone()
            self._watch(site, passing)
        if number == self._last:
            raise Enough
