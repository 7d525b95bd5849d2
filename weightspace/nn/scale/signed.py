"""One round of messages that signs of units change as they change the weights.

Every signed unit u has features o_u that change with its sign, and every edge a weight w, which changes with the signs
of all units at its ends. With o normalised (root mean square) wherever it is read,

    m    = w * (Gs x_s + Gt x_t + Ge e)                 what an edge says; no sign changes the second factor
    o'_u = o_u + Equivariant(mean(m * prod A o_v))      a unit, from its edges, and all other units v at their ends
    e'   = e + Z (w * prod B o'_u)                      an edge, from all units at its ends: no sign is left

and then come the messages of `weightspace.nn.gmn.layer`, on what no sign changes. As in ScaleGMN (Kalogeropoulos et al.
2024, section 5) messages are products of what a weight and a unit say, and updates W x * g(canon(x)). A sign is its own
reciprocal, so that messages run along edges and against them alike.
"""

from __future__ import annotations

from torch import Tensor, nn

from weightspace.nn.gmn.layer import MessageLayer
from weightspace.nn.gmn.wiring import Wiring
from weightspace.nn.scale.layers import EquivariantLayer
from weightspace.nn.scale.signs import Signs, gathered_on_edges, turned_on_edges

_SMALLEST = 1e-6  # mean square, below which features are not taken to be larger


class SignedLayer(nn.Module):
    """A round of messages; the same function on dense blocks and on any graph.

    Args:
        width: Channels of nodes, units and edges.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.node_norm, self.unit_norm = nn.LayerNorm(width), nn.RMSNorm(width, _SMALLEST)
        self.ends = nn.Linear(width, 2 * width)  # Gs, Gt
        self.gate, self.turn = (nn.Linear(width, width, bias=False) for _ in range(2))  # Ge, Z
        self.other, self.own = (nn.Linear(width, width, bias=False) for _ in range(2))  # A, B
        self.update = EquivariantLayer("sign", width, width, hidden=width)
        self.messages = MessageLayer(width)

    def on_blocks(
        self, wiring: Wiring, signs: Signs, weights: Tensor, nodes: Tensor, units: Tensor, edges: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of networks of one layout.

        Args:
            wiring: Of the layout.
            signs: Of the wiring.
            weights: What changes with signs of edges, (rows, width), in the order of the wiring.
            nodes: (networks, nodes, width).
            units: (networks, units, width).
            edges: What does not, (rows, width).

        Returns:
            Nodes, units and edges, updated.
        """
        if signs.units:
            of_source, of_target = self.ends(self.node_norm(nodes)).split(self.width, -1)
            gate = wiring.spread(of_source[:, wiring.sources], of_target[:, wiring.targets]) + self.gate(edges)
            units = units + self.update(signs.gathered(weights * gate, self.other(self.unit_norm(units))))
        edges = edges + self.turn(signs.turned(weights, self.own(self.unit_norm(units))))
        nodes, edges = self.messages.on_blocks(wiring, nodes, edges)
        return nodes, units, edges

    def on_graph(
        self, edge_index: Tensor, table: Tensor, weights: Tensor, nodes: Tensor, units: Tensor, edges: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of any graph, edge by edge: slow and plain.

        Args:
            edge_index: (source, target), int64 (2, edges).
            table: Units at the ends of every edge, int64 (edges, most at one edge); the number of units for none.
            weights: What changes with signs of edges, (edges, width).
            nodes: (nodes, width).
            units: (units, width).
            edges: What does not, (edges, width).
        """
        source, target = edge_index
        of_source, of_target = self.ends(self.node_norm(nodes)).split(self.width, -1)
        gate = of_source[source] + of_target[target] + self.gate(edges)
        units = units + self.update(gathered_on_edges(table, weights * gate, self.other(self.unit_norm(units))))
        edges = edges + self.turn(turned_on_edges(table, weights, self.own(self.unit_norm(units))))
        nodes, edges = self.messages.on_graph(edge_index, nodes, edges)
        return nodes, units, edges
