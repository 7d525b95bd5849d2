"""Running a network site by site: what reaches a site waits there until the run goes on.

Solving layers one after the other needs each call of a network as far as the next layer only. A run that is held up
where it is need not begin anew for every layer.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from weightspace.source.base import Inputs
from weightspace.source.exported import Exported
from weightspace.source.nodes import operator_name, writes_in_place
from weightspace.source.precision import InDouble
from weightspace.source.watching import Passing
from weightspace.symmetry.sites import Site

_PRODUCTS = {"linear": 0, "conv1d": 0, "conv2d": 0, "conv3d": 0, "mm": 0, "matmul": 0, "addmm": 1}  # -> activations
_TURNS = ("t", "transpose", "permute", "numpy_T")
_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")
_SILENT = ("view", "reshape", "_unsafe_view", "dropout", "contiguous", "clone", "to", "detach", "alias", "flatten")
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Place:
    """The nodes of a site: the multiplication, the norm after it and the sum after that, where there are."""

    product: fx.Node
    operand: fx.Node
    norm: fx.Node | None
    sum: fx.Node | None

    @property
    def nodes(self) -> list[fx.Node]:
        return [node for node in (self.product, self.norm, self.sum) if node is not None]


class Plan:
    """Where in a graph its sites are, and how long its values are needed.

    Args:
        exported: The graph.
        sites: Sites of its network.

    Attributes:
        places: The sites that were found in the graph, by their weights; none where an operator writes in place.
    """

    def __init__(self, exported: Exported, sites: Sequence[Site]) -> None:
        self.nodes = [node for node in exported.graph.nodes if node.op != "get_attr"]
        self.order = {node: place for place, node in enumerate(self.nodes)}
        self.constants = exported.tensors
        last = {
            node: max((self.order[user] for user in node.users), default=place) for node, place in self.order.items()
        }
        self.dying: dict[int, list[fx.Node]] = {}
        for node, place in last.items():
            self.dying.setdefault(place, []).append(node)
        self.places: dict[str, _Place] = {}
        if not any(writes_in_place(node) for node in self.nodes):
            found = {site.weight: _placed(exported.graph, site) for site in sites}
            self.places = {name: place for name, place in found.items() if place is not None}
        self.products = {place.product: place.operand for place in self.places.values()}
        self.watched = {node for place in self.places.values() for node in place.nodes}

    def given(self, inputs: Inputs, like: Tensor) -> dict[fx.Node, Any]:
        """The values of a call before anything has run: its tensors, of the type and on the device of another."""
        placeholders = [node for node in self.nodes if node.op == "placeholder"]
        return dict(zip(placeholders, inputs.cast(like.dtype, like.device).tensors(), strict=True))

    def run(
        self,
        state: State,
        values: dict[fx.Node, Any],
        start: int,
        stop: int,
        seen: dict[fx.Node, Any] | None = None,
    ) -> None:
        """Runs some nodes.

        Args:
            state: Weights by name, of one type and on one device.
            values: Those of earlier nodes that are still needed; changed to those that are needed then.
            start: Number of the first node.
            stop: Number of the first that is not run.
            seen: Where values at the sites are kept: of a multiplication what goes in and what comes out.
        """
        for place in range(start, stop):
            node = self.nodes[place]
            if node.op != "placeholder":
                values[node] = self._call(node, values, state)
            if seen is not None and node in self.watched:
                result = values[node][0] if isinstance(values[node], tuple) else values[node]
                seen[node] = (values[self.products[node]], result) if node in self.products else result
            for dead in self.dying.get(place, ()):
                del values[dead]

    def _call(self, node: fx.Node, values: Mapping[fx.Node, Any], state: State) -> Any:

        def value(other: fx.Node) -> Any:
            if other.op != "get_attr":
                return values[other]
            found = state.get(str(other.target))
            return self.constants[str(other.target)] if found is None else found

        if node.op == "output":
            return fx.map_arg(node.args[0], value)
        assert callable(node.target), node.format_node()
        return node.target(*fx.map_arg(node.args, value), **fx.map_arg(node.kwargs, value))

    def ends(self, state: State, inputs: Inputs) -> tuple[list[Tensor], dict[str, Tensor]]:
        """One whole run, with gradients where wanted: its outputs, and what comes out at the end of each site.

        Args:
            state: Weights by name, of one type and on one device.
            inputs: The call.

        Returns:
            The floating outputs; and by the weight of each site its last value, see `_Place`.
        """
        like = next(tensor for tensor in state.values() if tensor.is_floating_point())
        values, seen = self.given(inputs, like), dict[fx.Node, Any]()
        with _precision(like):
            self.run(state, values, 0, len(self.nodes) - 1, seen)
        outputs = tree_leaves(self._call(self.nodes[-1], values, state))
        ends = {name: _after(seen[place.nodes[-1]]) for name, place in self.places.items()}
        return [each for each in outputs if isinstance(each, Tensor) and each.is_floating_point()], ends


class Walk:
    """One call of a network, held up at a site.

    Args:
        plan: Of its graph.
        inputs: The call.
        like: A tensor whose type and device the call takes.
    """

    def __init__(self, plan: Plan, inputs: Inputs, like: Tensor) -> None:
        self._plan, self._like = plan, like
        self._values = plan.given(inputs, like)
        self._seen: dict[fx.Node, Any] = {}
        self._next = 0

    @property
    def held(self) -> int:
        """Bytes of the values that wait."""
        values = [*self._values.values(), *self._seen.values()]
        return sum(value.numel() * value.itemsize for value in tree_leaves(values) if isinstance(value, Tensor))

    def through(self, state: State, site: Site) -> Passing:
        """Goes on to the end of a site, for weights that stay as they are; every site once, in the order of the run."""
        place = self._plan.places[site.weight]
        stop = self._plan.order[place.nodes[-1]] + 1
        self._run(self._values, self._seen, state, stop)
        self._next = max(self._next, stop)
        passing = _passing(place, self._seen, site)
        for node in place.nodes:
            del self._seen[node]
        return passing

    def up_to(self, state: State, site: Site) -> Passing:
        """Goes on to the start of a site, and looks ahead to its end with its weights as they are now."""
        place = self._plan.places[site.weight]
        start = self._plan.order[place.product]
        self._run(self._values, None, state, start)
        self._next = max(self._next, start)
        seen: dict[fx.Node, Any] = {}
        self._run(dict(self._values), seen, state, self._plan.order[place.nodes[-1]] + 1)
        return _passing(place, seen, site)

    @torch.no_grad()
    def _run(self, values: dict[fx.Node, Any], seen: dict[fx.Node, Any] | None, state: State, stop: int) -> None:
        with _precision(self._like):
            self._plan.run(state, values, self._next, stop, seen)


def _precision(like: Tensor) -> AbstractContextManager[object]:
    return InDouble() if like.dtype == torch.float64 else nullcontext()


def _after(seen: Any) -> Tensor:
    """What comes out where a value was kept."""
    return seen[1] if isinstance(seen, tuple) else seen


def _passing(place: _Place, seen: Mapping[fx.Node, Any], site: Site) -> Passing:
    def shaped(value: Tensor) -> Tensor:
        return value if site.convolution is not None else value.reshape(-1, value.shape[-1])

    operand, product = map(shaped, seen[place.product])
    normed = product if place.norm is None else shaped(seen[place.norm])
    summed = normed if place.sum is None else shaped(seen[place.sum]).reshape(product.shape)
    return Passing(operand, product, normed, summed)


def _placed(graph: fx.Graph, site: Site) -> _Place | None:
    """The nodes of a site, None where the graph does not show them as the trace does."""
    readers = [
        user for node in graph.nodes if node.op == "get_attr" and node.target == site.weight for user in node.users
    ]
    readers = [user for node in readers for user in (node.users if operator_name(node) in _TURNS else (node,))]
    if len(readers) != 1 or operator_name(readers[0]) not in _PRODUCTS:
        return None
    product = readers[0]
    operand = product.args[_PRODUCTS[operator_name(product)]]
    if not isinstance(operand, fx.Node) or operand.op == "get_attr":
        return None
    reader, norm, added = _only_reader(product), None, None
    if site.norm is not None:
        if reader is None or operator_name(reader) not in _NORMS:
            return None
        norm = reader
        reader = _only_reader(norm)
    if site.sum is not None:
        if reader is None or operator_name(reader) != "add":
            return None
        added = reader
    return _Place(product, operand, norm, added)


def _only_reader(node: fx.Node) -> fx.Node | None:
    """The one node that reads a value, seen through changes of its shape."""
    while len(node.users) == 1:
        (user,) = node.users
        if user.op == "output" or (operator_name(user) not in _SILENT and user.target is not operator.getitem):
            return user if user.op == "call_function" else None
        node = user
    return None
