"""One round of messages between the nodes of a parameter graph, along its edges and against them.

    e' = e + W2 relu(Ws x_s + Wt x_t + We e)                       an edge, from its source s to its target t
    m  = relu(Us x_s + Ue e'),   m~ = relu(Ut x_t + Ue e')         its messages to its target, and back to its source
    x' = x + O relu(A x + B mean(m) + C mean(m~))                  a node, from all edges that end or begin there

with x normalised (layer norm) wherever it is read. As in Lim et al. 2024, section 2, with edge features that are
updated; a reverse edge is no edge of its own, but has weights of its own for what it says and where it is heard. Means
over edges keep the scale of wide layers, and are never taken over networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from weightspace.nn.gmn.wiring import Side, Wiring


class MessageLayer(nn.Module):
    """A round of messages; the same function on dense blocks and on any graph.

    Args:
        width: Channels of nodes and edges.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 4 * width)  # Ws, Wt, Us, Ut, with the biases of what they are added to
        self.edge, self.update = (nn.Linear(width, width, bias=False) for _ in range(2))  # We, W2
        self.message = nn.Linear(width, width, bias=False)  # Ue
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
        seen = self.norm(nodes)
        of_source, of_target, along, against = self.ends(seen).split(self.width, -1)
        inside = wiring.spread(of_source[:, wiring.sources], of_target[:, wiring.targets])
        inside = torch.relu_(inside.addmm_(edges, self.edge.weight.T))  # in place: every pass over rows counts
        edges = torch.addmm(edges, inside, self.update.weight.T)
        said = edges @ self.message.weight.T
        arrived = self._mean(wiring, wiring.heard(said, along[:, wiring.sources], "target"), "target")
        returned = self._mean(wiring, wiring.heard(said, against[:, wiring.targets], "source"), "source")
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
        of_source, of_target, along, against = self.ends.weight.split(self.width)
        bias, other, along_bias, against_bias = self.ends.bias.split(self.width)
        first, said = torch.cat([of_source, of_target, self.edge.weight], 1), self.message.weight
        edges = edges + self.update(
            torch.relu(torch.cat([seen[source], seen[target], edges], -1) @ first.T + (bias + other))
        )
        to_target = torch.cat([seen[source], edges], -1) @ torch.cat([along, said], 1).T + along_bias
        to_source = torch.cat([seen[target], edges], -1) @ torch.cat([against, said], 1).T + against_bias
        arrived = scatter(torch.relu(to_target), target, 0, len(nodes), "mean")
        returned = scatter(torch.relu(to_source), source, 0, len(nodes), "mean")
        return self._nodes(nodes, seen, arrived, returned), edges

    def _mean(self, wiring: Wiring, places: Tensor, side: Side) -> Tensor:
        index = wiring.targets if side == "target" else wiring.sources
        total = places.new_zeros(len(places), wiring.layout.nodes, self.width).index_add(1, index, places)
        return total / wiring.degrees(side).to(total.dtype)

    def _nodes(self, nodes: Tensor, seen: Tensor, arrived: Tensor, returned: Tensor) -> Tensor:
        return nodes + self.out(torch.relu(self.node(torch.cat([seen, arrived, returned], -1))))
