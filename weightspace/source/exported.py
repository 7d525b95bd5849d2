"""A network as a graph of ATen operators, by `torch.export`, which can be changed, printed and run piece by piece."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.outputs import result_tensors
from weightspace.source.base import Inputs
from weightspace.source.nodes import operator_name, writes_in_place
from weightspace.source.user_error import describe

_CHECKS = ("_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range")
_RETURNING = frozenset(
    {"reshape", "contiguous", "flatten", "to", "dropout", "feature_dropout", "alias", "detach", "view_as", "expand_as"}
)  # may return what they are given
_WRAPPED = "network."


@dataclass(frozen=True)
class Exported:
    """A network as a graph.

    Attributes:
        graph: One placeholder for every tensor of the call; nodes that fetch a tensor of the network bear its name, a
            tied one that of the state dict's first. Returns the tensors that count as its function, one alone as it is.
        tensors: The tensors that it fetches, with constants of the code and tables outside the state dict.
        parameters: Names of those that are parameters.
        constants: Names of those that no checkpoint holds.
        inputs: A call of the graph.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    parameters: frozenset[str]
    constants: frozenset[str]
    inputs: Inputs


def export(module: nn.Module, inputs: Inputs, label: str = "the network") -> Exported:
    """Exports a network, for any size that it takes of every dimension of its inputs.

    Args:
        module: In evaluation mode, with real tensors; not changed.
        inputs: A call of it. What is no tensor becomes part of the graph.
        label: What messages call the network.

    Raises:
        SourceError: `torch.export` does not understand its code, it branches on what it computes, or takes no other
            batch than the one given.
    """
    flat = _Flat(module, inputs)
    leaves = tuple(inputs.tensors())
    exported = _for_any_batch(flat, leaves, label)
    own = {name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)}
    tensors = own | {name: tensor for name, tensor in module.named_buffers() if name not in own}
    names = {id(tensor): name for name, tensor in reversed(tensors.items())}
    graph, found = _plain(exported, names, _arguments(module, inputs), label)
    parameters = {id(parameter) for parameter in module.parameters()}
    by_name = not inputs.args
    arguments = [node.target for node in graph.nodes if node.op == "placeholder"]
    return Exported(
        graph,
        {name: found[name] for name in (*tensors, *found) if name in found},
        frozenset(name for name in found if name in own and id(own[name]) in parameters),
        frozenset(found.keys() - own.keys()),
        Inputs(kwargs=dict(zip(arguments, leaves, strict=True))) if by_name else Inputs(leaves),
    )


def _for_any_batch(flat: nn.Module, leaves: tuple[Tensor, ...], label: str) -> fx.GraphModule:
    """The export, by bytecode where plain Python fixes the size of the batch (as ``len(x)`` does)."""
    sizes = tuple(dict.fromkeys(range(leaf.dim()), Dim.AUTO) for leaf in leaves)
    failure = ""
    for strict in (False, True):
        try:
            with torch.no_grad(), _quietly():
                exported = torch.export.export(flat, leaves, dynamic_shapes=(sizes,), strict=strict)
        except Exception as error:
            failure = failure or describe(error)
            continue
        given = [node for node in exported.graph.nodes if node.op == "placeholder"][-len(leaves) :]
        # A size that has become fixed is a symbol all the same, whose expression is a number.
        if not any(str(size).isdigit() for node in given[:1] for size in node.meta["val"].shape[:1]):
            found = exported.module(check_guards=False)
            assert isinstance(found, fx.GraphModule)
            return found
        failure = failure or "it fixes the size of a batch"
    raise SourceError(f"{label}: torch.export does not understand its code: {failure}")


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch logs of sizes that cannot vary."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Flat(nn.Module):
    """A network whose arguments are the tensors of a call, and whose results are those that count as its function."""

    def __init__(self, network: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.network, self._call = network, inputs

    @override
    def forward(self, *leaves: Tensor) -> tuple[Tensor, ...]:
        call = self._call.with_tensors(leaves)
        return tuple(result_tensors(self.network(*call.args, **call.kwargs)))


def _arguments(module: nn.Module, inputs: Inputs) -> list[str]:
    """A name for every tensor of a call."""
    positional = [name for name, each in inspect.signature(module.forward).parameters.items() if each.kind < 2]
    positional += [f"x{at}" for at in range(len(positional), len(inputs.args))]
    known = [*positional[: len(inputs.args)], *inputs.kwargs]
    names: list[str] = []
    for name, value in zip(known, (*inputs.args, *inputs.kwargs.values()), strict=True):
        count = len(Inputs((value,)).tensors())
        names += [name] if count == 1 else [f"{name}_{number}" for number in range(count)]
    return names


def _plain(
    exported: fx.GraphModule, names: Mapping[int, str], arguments: list[str], label: str
) -> tuple[fx.Graph, dict[str, Tensor]]:
    """The graph without checks, under plain names, and the tensors that it fetches."""
    graph, known, tensors = fx.Graph(), dict[fx.Node, Any](), dict[str, Tensor]()
    given = iter(arguments)
    first: fx.Node | None = None
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            known[node] = graph.placeholder(next(given))
            first = first or known[node]
        elif node.op == "get_attr":
            value = _attribute(exported, node.target)
            if not isinstance(value, Tensor):
                raise SourceError(f"{label}: expected plain operators, found a graph within its graph ({node.target})")
            name = names.get(id(value), node.target.removeprefix(_WRAPPED))
            tensors[name] = value.detach()
            known[node] = graph.get_attr(name)
        elif node.op == "output":
            results = fx.map_arg(node.args[0], known.__getitem__)
            graph.output(results[0] if len(results) == 1 else results)
        elif node.op == "call_function":
            if operator_name(node) not in _CHECKS:
                known[node] = _on_device_of(first, graph.node_copy(node, known.__getitem__))
        elif node.users:
            raise SourceError(f"{label}: expected plain operators, found {node.op} {node.target}")
    _without_writes(graph)
    graph.eliminate_dead_code(_matters)
    used = {node.target for node in graph.nodes if node.op == "get_attr"}
    return graph, {name: tensor for name, tensor in tensors.items() if name in used}


def _without_writes(graph: fx.Graph) -> None:
    """Turns operators that write in place into those that do not, where nothing else could see the write."""
    for node in list(graph.nodes):
        plain = _plain_form(node)
        written = node.args[0] if node.args else None
        if plain is None or not isinstance(written, fx.Node) or _may_alias(written):
            continue
        order = {each: place for place, each in enumerate(graph.nodes)}
        if any(_may_alias(user) for user in written.users if order[user] < order[node]):
            continue
        node.target = plain
        written.replace_all_uses_with(node, lambda user, node=node, order=order: order[user] > order[node])


def _plain_form(node: fx.Node) -> Any:
    """The operator that gives what this one writes into its first argument; None where there is none."""
    op = node.target
    if not isinstance(op, torch._ops.OpOverload) or not writes_in_place(node):
        return None
    packet = getattr(torch.ops.aten, op._schema.name.removeprefix("aten::").removesuffix("_"), None)
    return getattr(packet, op._overloadname, None)


def _may_alias(node: fx.Node) -> bool:
    """Whether a node's value may lie in the memory of another one."""
    op = node.target
    if node.op != "call_function" or not isinstance(op, torch._ops.OpOverload):
        return True
    return op.is_view or op._schema.name.removeprefix("aten::") in _RETURNING


def _matters(node: fx.Node) -> bool:
    """Whether a node has to stay though nobody reads it: it writes in place."""
    return node.op in ("placeholder", "output") or writes_in_place(node)


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _on_device_of(first: fx.Node | None, node: fx.Node) -> fx.Node:
    """What the network makes itself comes to the device of its first input, not to the one that it was exported on."""
    if first is not None and isinstance(node.kwargs.get("device"), torch.device):
        with node.graph.inserting_before(node):
            device = node.graph.call_function(getattr, (first, "device"))
        node.kwargs = {**node.kwargs, "device": device}
    return node
