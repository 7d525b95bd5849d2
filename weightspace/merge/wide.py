"""A merged network with more units than one of those that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.merge.combine import combine
from weightspace.merge.homes import Homes
from weightspace.merge.widening import Widening
from weightspace.source import Program
from weightspace.symmetry.sites import Site

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Wide:
    """A merged network of another width.

    Attributes:
        homes: Where the units of its origins went.
        widening: How the network grows.
        program: It as a function of its weights, all weights dense.
        state: Weights of the origins brought together, see `weightspace.merge.combine.combine`.
    """

    homes: Homes
    widening: Widening
    program: Program
    state: dict[str, Tensor]

    @property
    def sites(self) -> dict[str, Site]:
        """The layers that are solved for, by their weights."""
        return {site.weight: site for site in self.program.sites(self.program.inputs).alone}

    @classmethod
    def of(cls, widening: Widening, homes: Homes, models: Sequence[State]) -> Wide:
        """Builds the merged network.

        Args:
            widening: Of the network of the models.
            homes: Where their units go.
            models: Weights that are aligned to each other.

        Raises:
            SpecError: A group lies elsewhere in the graph of the network than in the network.
        """
        program = widening.growable.program(homes)
        brought = combine(homes, models, widening.reads)
        own = program.state()
        return cls(homes, widening, program, {name: brought.get(name, own[name]) for name in program.state_names})
