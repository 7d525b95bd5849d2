"""A merged network in the form in which it is stored: weights that fall into blocks, without the zeros between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from weightspace.merge.blocks import Block, kept
from weightspace.merge.wide import Wide
from weightspace.source import Program
from weightspace.source.exported import Exported
from weightspace.source.nodes import operator_name

State = Mapping[str, Tensor]
aten = torch.ops.aten
_CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3}  # -> dimensions of a position


@dataclass(frozen=True)
class Stored:
    """A merged network without the zeros between units of different origins.

    Attributes:
        exported: Its graph.
        program: It as a function of its weights.
        parts: For every weight that falls into blocks: names of the tensors that hold these, and the blocks.
        transposed: Which of these weights are (in, out).
    """

    exported: Exported
    program: Program
    parts: Mapping[str, Mapping[str, Block]]
    transposed: frozenset[str]

    @classmethod
    def of(cls, wide: Wide) -> Stored:
        """The form of a merged network; a weight that the graph reads in unforeseen ways stays whole."""
        exported, sites = wide.program.exported(), wide.sites
        splitting = _Splitting(exported, kept(wide))
        graph = splitting.graph()
        transposed = frozenset(name for name in splitting.parts if sites[name].transposed)
        found = replace(
            exported,
            graph=graph,
            tensors=_split(exported.tensors, splitting.parts, transposed) | splitting.indices,
            parameters=frozenset(exported.parameters - splitting.parts.keys() | {*splitting.names}),
            constants=exported.constants | splitting.indices.keys(),
        )
        return cls(found, Program.from_exported(found, "the merged network"), splitting.parts, transposed)

    def state(self, dense: State) -> dict[str, Tensor]:
        """The tensors of the stored form, from those of the dense one."""
        return _split(dense, self.parts, self.transposed)


def _split(dense: State, parts: Mapping[str, Mapping[str, Block]], transposed: frozenset[str]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in dense.items():
        if name not in parts:
            found[name] = tensor
        for part, block in parts.get(name, {}).items():
            found[part] = _cut(tensor, block, transposed=name in transposed)
    return found


def _cut(weight: Tensor, block: Block, *, transposed: bool) -> Tensor:
    made, read = block.made.to(weight.device), block.read.to(weight.device)
    if transposed:
        return weight.index_select(1, made).index_select(0, read)
    return weight.index_select(0, made).index_select(1, read)


class _Splitting:
    """Puts several multiplications in the place of one.

    Attributes:
        parts: See `Stored`.
        indices: Constants of the graph: orders and choices of units that are no stretches.
    """

    def __init__(self, exported: Exported, blocks: Mapping[str, tuple[Block, ...]]) -> None:
        self._before, self._blocks = exported.graph, blocks
        self._after, self._copies = fx.Graph(), dict[fx.Node, fx.Node]()
        self.parts: dict[str, dict[str, Block]] = {}
        self.indices: dict[str, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """Names of all parts."""
        return [name for parts in self.parts.values() for name in parts]

    def graph(self) -> fx.Graph:
        whole = {node: str(node.target) for node in self._before.nodes if self._splits(node)}
        for node in self._before.nodes:
            if node in whole:
                continue
            weight = next((each for each in node.all_input_nodes if each in whole), None)
            self._copies[node] = (
                self._after.node_copy(node, self._copies.__getitem__)
                if weight is None
                else self._product(node, whole[weight])
            )
        return self._after

    def _splits(self, node: fx.Node) -> bool:
        """Whether a node fetches a weight that is only multiplied with."""
        if node.op != "get_attr" or node.target not in self._blocks or len(node.users) != 1:
            return False
        (user,) = node.users
        name, place = operator_name(user), (2 if operator_name(user) == "addmm" else 1)
        return (name in ("linear", "addmm", *_CONVOLUTIONS)) and user.args[place] is node and not user.kwargs

    def _product(self, node: fx.Node, weight: str) -> fx.Node:
        """One multiplication per block, its results side by side."""
        name, given = operator_name(node), self._given(node)
        prefix, _, last = weight.rpartition(".")
        blocks = self._blocks[weight]
        self.parts[weight] = {_joined(prefix, f"of_{_letters(block)}", last): block for block in blocks}
        x, bias, options = (given[1], given[0], []) if name == "addmm" else (given[0], (*given, None)[1], given[2:])
        dim = 1 if name in _CONVOLUTIONS else -1
        width = 1 + max(int(block.read[-1]) for block in blocks)  # every unit is read by something
        operator, bare = (aten.mm.default, ()) if name == "addmm" else (node.target, (None, *options))
        results = []
        for part, block in self.parts[weight].items():
            inputs = self._chosen(x, block.read, dim, _joined(prefix, f"read_{_letters(block)}"), width)
            results.append(self._call(operator, inputs, self._after.get_attr(part), *bare))
        order = torch.cat([block.made for block in blocks]).argsort()
        found = self._call(aten.cat.default, results, dim)
        found = self._chosen(found, order, dim, _joined(prefix, "order"), len(order))
        if bias is None:
            return found
        if name in _CONVOLUTIONS:
            bias = self._call(aten.view.default, bias, [-1, *[1] * _CONVOLUTIONS[name]])
        return self._call(aten.add.Tensor, found, bias)

    def _given(self, node: fx.Node) -> list[Any]:
        """The arguments of a multiplication without its weight."""
        own = [each for each in node.args if not (isinstance(each, fx.Node) and each.target in self._blocks)]
        return [self._copies[each] if isinstance(each, fx.Node) else each for each in own]

    def _call(self, operator: Any, *arguments: Any) -> fx.Node:
        return self._after.call_function(operator, arguments)

    def _chosen(self, value: fx.Node, index: Tensor, dim: int, name: str, size: int) -> fx.Node:
        """Some units of a value, in some order."""
        start, count = int(index[0]), len(index)
        if bool((index == torch.arange(start, start + count)).all()):
            if count == size:
                return value
            return self._call(aten.slice.Tensor, value, dim, start, start + count)
        self.indices[name] = index
        return self._call(aten.index_select.default, value, dim, self._after.get_attr(name))


def _letters(block: Block) -> str:
    """The networks of a block: a, b, ab."""
    return "".join(chr(ord("a") + network) for network in block.networks)


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)
