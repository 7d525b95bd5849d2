"""Networks as they are given, one by one as what a dataset holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import DataError, WeightspaceError
from weightspace.graph.convert import to_graph
from weightspace.graph.data import ParameterGraph
from weightspace.graph.datasets.architectures import Architectures
from weightspace.graph.datasets.layouts import Layouts
from weightspace.graph.datasets.network import Network
from weightspace.graph.datasets.rows import Row, row_of
from weightspace.graph.datasets.targets import target_row

Transform = Callable[[ParameterGraph], ParameterGraph]


class Reader:
    """Reads networks, and notes what they have in common.

    Args:
        pre_transform: Changes every graph.
        taps: Entries on one edge.

    Attributes:
        layouts: Of all networks so far.
        target_names: The metrics of the first network.
    """

    def __init__(self, pre_transform: Transform | None, taps: int) -> None:
        self.layouts = Layouts()
        self.target_names: tuple[str, ...] = ()
        self._pre_transform, self._taps, self._architectures = pre_transform, taps, Architectures()

    def rows(self, networks: Iterable[Network]) -> Iterator[Row]:
        """Every network in order.

        Raises:
            WeightspaceError: A network cannot be read, or is not what was said; the message names it.
            DataError: There is none.
        """
        place = -1
        for place, network in enumerate(networks):
            with _naming(network.label(place)):
                if place == 0:
                    self.target_names = tuple(network.targets)
                graph = self._graph(place, network)
                row = row_of(self.layouts, graph if self._pre_transform is None else self._pre_transform(graph))
            yield row
        if place < 0:
            raise DataError("networks: expected at least one, found none")

    def _graph(self, place: int, network: Network) -> ParameterGraph:
        targets = target_row(network.targets, self.target_names)
        weights = network.weights if isinstance(network.weights, Mapping) else open_checkpoint(network.weights)
        layout = self.layouts.add(self._architectures.spec_of(weights, network.architecture))
        graph = to_graph(layout, _named(weights, layout.spec.aliases, layout.names), taps=self._taps)
        graph.network, graph.y = place, targets
        return graph


def _named(weights: Mapping[str, Tensor], aliases: Mapping[str, str], names: Iterable[str]) -> dict[str, Tensor]:
    """Weights by the names of the spec: a tied tensor may be stored under any of its own."""
    stored = {aliases.get(name, name): name for name in weights}
    return {name: weights[stored[name]].detach() for name in names if name in stored}


@contextlib.contextmanager
def _naming(label: str) -> Iterator[None]:
    """Errors inside of the block say which network they are about."""
    try:
        yield
    except WeightspaceError as error:
        if label in str(error):
            raise
        raise type(error)(f"{label}: {error}") from error
