"""Change the weights of a network: equivariant under its symmetries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from weightspace.graph import EDGE_ROLES, TAPS, ParameterGraph
from weightspace.nn.gmn.encoder import GraphEncoder
from weightspace.nn.gmn.layer import MessageLayer
from weightspace.nn.gmn.lift import carried
from weightspace.nn.gmn.stacked import Stacked

_AT_FIRST = 0.01  # the change of a weight, in deviations


class GraphEditor(nn.Module):
    """New weights, theta + gamma * f(theta), for every network.

    Args:
        width: Channels.
        layers: Rounds of messages.
        taps: Entries on an edge.
        layer: Makes a round of a number of channels, with the two forms of `MessageLayer`.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 4,
        *,
        taps: int = TAPS,
        layer: Callable[[int], nn.Module] = MessageLayer,
    ) -> None:
        super().__init__()
        self.encoder = GraphEncoder(width, layers, taps=taps, layer=layer)
        self.change = nn.Linear(width, taps)
        self.gamma = nn.Parameter(torch.full((len(EDGE_ROLES),), _AT_FIRST))

    def forward(self, networks: Stacked | ParameterGraph) -> Stacked | ParameterGraph:
        """The same networks with other weights, of the type that was given."""
        return self._stacked(networks) if isinstance(networks, Stacked) else self._graph(networks)

    def _stacked(self, batch: Stacked) -> Stacked:
        wiring, _, edges = self.encoder.on_blocks(batch)
        changes = self.change(edges)
        views, blocks = wiring.views(changes, len(batch)), []
        for entries, (view, _, _), theta in zip(
            batch.layout.entries, views, wiring.blocks.split(batch.tensors), strict=False
        ):
            shape = (len(batch), *entries.grid.shape, -1)
            change = entries.restored(view.reshape(shape)[..., : entries.taps])
            blocks.append(theta + self._step(EDGE_ROLES.index(entries.grid.role), entries.fan_in) * change)
        return Stacked(batch.layout, wiring.blocks.join(blocks))

    def _graph(self, graph: ParameterGraph) -> ParameterGraph:
        _, edges = self.encoder.on_graph(graph)
        step = self._step(graph.block_role, graph.block_fan_in)[graph.edge_block]
        changed = graph.clone()
        changed.edge_attr = graph.edge_attr + torch.where(carried(graph), step[:, None] * self.change(edges), 0.0)
        return changed

    def _step(self, role: int | Tensor, fan_in: int | Tensor) -> Tensor:
        return self.gamma[role] * self.encoder.lift.scale_of(role, fan_in)
