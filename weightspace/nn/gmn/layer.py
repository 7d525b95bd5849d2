"""One round of messages between the nodes of a parameter graph, along its edges and against them.

    e' = e + W2 relu(Ws x_s + Wt x_t + We e)                        an edge, from its source s to its target t
    m  = relu(Us x_s + Ue e'),   m~ = relu(Vt x_t + Ve e')          its messages to its target, and back to its source
    x' = x + O relu(A x + B mean(m) + C mean(m~))                   a node, from all edges that end or begin there

with x normalised (layer norm) wherever it is read. As in Lim et al. 2024, section 2, with edge features that are
updated, and weights of their own for reverse edges. Means over edges keep the scale of wide layers, and are never taken
over networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from weightspace.nn.gmn.wiring import Wiring


class MessageLayer(nn.Module):
    """A round of messages; the same function on dense blocks and on any graph.

    Args:
        width: Channels of nodes and edges.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 4 * width, bias=False)  # Ws, Wt, Us, Vt
        self.edge, self.update = nn.Linear(width, width), nn.Linear(width, width)  # We, W2
        self.message = nn.Linear(width, 2 * width)  # Ue, Ve
        self.node = nn.Linear(3 * width, width)  # A, B, C
        self.out = nn.Linear(width, width)

    def on_blocks(self, wiring: Wiring, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Of networks of one layout.

        Args:
            wiring: Of the layout.
            nodes: (networks, nodes, width).
            edges: (rows, width), in the order of the wiring.

        Returns:
            Nodes and edges, updated.
        """
        networks, seen = len(nodes), self.norm(nodes)
        of_source, of_target, to_target, to_source = self.ends(seen).split(self.width, -1)
        inside = wiring.spread(of_source[:, wiring.sources], of_target[:, wiring.targets])
        inside = torch.relu_(torch.addmm(inside.add_(self.edge.bias), edges, self.edge.weight.T))
        edges = torch.addmm(edges.add(self.update.bias), inside, self.update.weight.T)
        forward, back = self.message.weight.split(self.width)
        forward_bias, back_bias = self.message.bias.split(self.width)
        along = wiring.spread((to_target + forward_bias)[:, wiring.sources], None)
        along = torch.relu_(torch.addmm(along, edges, forward.T))
        against = wiring.spread(None, (to_source + back_bias)[:, wiring.targets])
        against = torch.relu_(torch.addmm(against, edges, back.T))
        arrived = self._mean(wiring, along, networks, "target")
        returned = self._mean(wiring, against, networks, "source")
        return self._nodes(nodes, seen, arrived, returned), edges

    def on_graph(self, edge_index: Tensor, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Of any graph, edge by edge: slow and plain.

        Args:
            edge_index: (source, target), int64 (2, edges).
            nodes: (nodes, width).
            edges: (edges, width).
        """
        source, target = edge_index
        seen = self.norm(nodes)
        of_source, of_target, to_target, to_source = self.ends.weight.split(self.width)
        first = torch.cat([of_source, of_target, self.edge.weight], 1)
        inside = torch.cat([seen[source], seen[target], edges], -1) @ first.T
        edges = edges + self.update(torch.relu(inside + self.edge.bias))
        forward, back = self.message.weight.split(self.width)
        forward_bias, back_bias = self.message.bias.split(self.width)
        along = torch.cat([seen[source], edges], -1) @ torch.cat([to_target, forward], 1).T + forward_bias
        against = torch.cat([seen[target], edges], -1) @ torch.cat([to_source, back], 1).T + back_bias
        arrived = scatter(torch.relu(along), target, 0, len(nodes), "mean")
        returned = scatter(torch.relu(against), source, 0, len(nodes), "mean")
        return self._nodes(nodes, seen, arrived, returned), edges

    def _mean(self, wiring: Wiring, rows: Tensor, networks: int, side: str) -> Tensor:
        places = wiring.gathered(rows, networks, side)
        index = wiring.targets if side == "target" else wiring.sources
        total = places.new_zeros(networks, wiring.layout.nodes, self.width).index_add(1, index, places)
        return total / wiring.degrees(side).to(total.dtype)

    def _nodes(self, nodes: Tensor, seen: Tensor, arrived: Tensor, returned: Tensor) -> Tensor:
        return nodes + self.out(torch.relu(self.node(torch.cat([seen, arrived, returned], -1))))
