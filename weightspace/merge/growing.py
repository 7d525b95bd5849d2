"""A network with more units in some of its groups: its graph, with every number of units in it brought up to date.

Most operators take what they are given. Some hold a number of units: a view names the sizes of its result, a shortcut
pads with so many channels, a fused projection is cut at certain places. These numbers follow from the groups that lie
along the dimensions of each value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import fx

from weightspace.errors import SpecError
from weightspace.merge.homes import Homes
from weightspace.source import Program
from weightspace.source.exported import Exported
from weightspace.source.labelled import Labelled, labelled
from weightspace.source.nodes import operator_name
from weightspace.symmetry.axis import Axis, FixedAxis, ProductAxis, SumAxis

_SIZED = ("view", "_unsafe_view", "reshape", "expand", "new_zeros", "new_ones", "new_full", "new_empty")
_MADE = ("zeros", "ones", "full", "empty")
_PADS = ("pad", "constant_pad_nd")
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_GROUPS_AT = 6  # argument of a convolution


@dataclass(frozen=True)
class Growable:
    """A network as a graph that can grow.

    Attributes:
        exported: Its graph.
        labels: The axes of the values of the graph.
    """

    exported: Exported
    labels: Labelled

    @classmethod
    def of(cls, program: Program) -> Growable:
        """Exports a network.

        Raises:
            SourceError: `torch.export` does not understand its code.
            TraceError: Its graph cannot be followed.
        """
        exported = program.exported()
        return cls(exported, labelled(exported))

    def check(self, homes: Homes) -> None:
        """Checks that the graph has the groups that grow where the network itself has them.

        Raises:
            SpecError: It has not.
        """
        own = self.labels.spec.tensors
        for name in homes.sizes:
            for tensor, axis in homes.spec.occurrences(name):
                if tensor not in own or own[tensor].axes[axis] != homes.spec.tensors[tensor].axes[axis]:
                    raise SpecError(f"group '{name}': its place in {tensor} is another one in the graph of the network")

    def grown(self, homes: Homes) -> Exported:
        """The graph of the merged network, with tensors of its sizes, all zeros but for what does not grow.

        Raises:
            SpecError: See `check` and `weightspace.merge.homes.Homes.axis`.
        """
        self.check(homes)
        tensors = {}
        for name, tensor in self.exported.tensors.items():
            known = self.labels.spec.tensors.get(name)
            shape = tensor.shape if known is None else torch.Size(homes.axis(axis).size for axis in known.axes)
            tensors[name] = tensor if shape == tensor.shape else tensor.new_zeros(shape)
        return replace(self.exported, graph=_Rewriting(self.labels, homes).graph(self.exported.graph), tensors=tensors)

    def program(self, homes: Homes) -> Program:
        """The merged network, with weights that mean nothing."""
        return Program.from_exported(self.grown(homes), "the merged network")


@dataclass(frozen=True)
class _Rewriting:
    """Brings the numbers of units in a graph up to date."""

    labels: Labelled
    homes: Homes

    def graph(self, before: fx.Graph) -> fx.Graph:
        after, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in before.nodes:
            copy = copies[node] = after.node_copy(node, copies.__getitem__)
            if node.op == "call_function":
                change = self._changes.get(operator_name(node))
                if change is not None:
                    change(node, copy)
        return after

    @cached_property
    def _changes(self) -> Mapping[str, Callable[[fx.Node, fx.Node], None]]:
        return {
            **dict.fromkeys(_SIZED, lambda node, copy: self._sizes(node, copy, 1)),
            **dict.fromkeys(_MADE, lambda node, copy: self._sizes(node, copy, 0)),
            **dict.fromkeys(_PADS, self._pad),
            **dict.fromkeys(_CONVOLUTIONS, self._groups),
            "split_with_sizes": self._split,
            "split": self._split,
            "slice": self._slice,
            "narrow": self._narrow,
        }

    def _axes(self, node: fx.Node) -> tuple[Axis, ...] | None:
        return self.labels.axes.get(node)

    def _size(self, axis: Axis) -> int:
        return self.homes.axis(axis).size

    def _sizes(self, node: fx.Node, copy: fx.Node, at: int) -> None:
        """Sizes of the result, as far as they are numbers."""
        given = node.args[at] if len(node.args) > at else None
        sizes = self._known_sizes(node)
        if sizes is None or not isinstance(given, (list, tuple)) or len(given) != len(sizes):
            return
        news = list(copy.args[at])  # pyright: ignore[reportArgumentType]
        for dim, (before, after) in enumerate(sizes):
            if isinstance(news[dim], int) and news[dim] == before:
                news[dim] = after
        copy.update_arg(at, news)

    def _known_sizes(self, node: fx.Node) -> list[tuple[int, int]] | None:
        """The sizes of a value before and after; where its axes are not known, those that it is taken apart into."""
        axes = self._axes(node)
        if axes is not None:
            return [(axis.size, self._size(axis)) for axis in axes]
        source = node.args[0]
        axes = self._axes(source) if isinstance(source, fx.Node) else None
        parts = None if axes is None else [factors(axis, self.homes) for axis in axes]
        return None if parts is None or None in parts else [size for part in parts for size in part or ()]

    def _pad(self, node: fx.Node, copy: fx.Node) -> None:
        """Zeros beside a value: as many as what it is added to has units there."""
        source, pads = node.args[0], node.args[1]
        before = self._axes(source) if isinstance(source, fx.Node) else None
        axes = self._met(node)
        if before is None or axes is None or not isinstance(pads, (list, tuple)):
            return
        news = list(pads)
        for back in range(len(news) // 2):
            dim = len(axes) - 1 - back
            front = news[2 * back]
            if not isinstance(front, int) or self._size(axes[dim]) == axes[dim].size:
                continue
            place = moved(axes[dim], self.homes, front)
            if place is not None:
                news[2 * back] = place
                news[2 * back + 1] = self._size(axes[dim]) - place - self._size(before[dim])
        copy.update_arg(1, news)

    def _met(self, node: fx.Node) -> tuple[Axis, ...] | None:
        """The axes of a value, as whatever it is added to shows them."""
        own = self._axes(node)
        if own is None:
            return None
        for user in node.users:
            axes = self._axes(user)
            if axes is not None and [axis.size for axis in axes] == [axis.size for axis in own]:
                return axes
        return own

    def _groups(self, node: fx.Node, copy: fx.Node) -> None:
        """One group of channels for every unit."""
        weight = node.args[1]
        axes = self._axes(weight) if isinstance(weight, fx.Node) else None
        if axes is not None and len(node.args) > _GROUPS_AT and node.args[_GROUPS_AT] == axes[0].size:
            copy.update_arg(_GROUPS_AT, self._size(axes[0]))

    def _split(self, node: fx.Node, copy: fx.Node) -> None:
        source, given = node.args[0], node.args[1]
        axes = self._axes(source) if isinstance(source, fx.Node) else None
        dim = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
        if axes is None or not isinstance(dim, int) or self._size(axes[dim]) == axes[dim].size:
            return
        size = axes[dim].size
        lengths = _lengths(size, given) if isinstance(given, int) else given
        if not isinstance(lengths, (list, tuple)) or not all(isinstance(each, int) for each in lengths):
            return
        cuts = accumulate((int(str(each)) for each in lengths), initial=0)
        ends = [end for cut in cuts if (end := moved(axes[dim], self.homes, cut)) is not None]
        if len(ends) == len(lengths) + 1:
            copy.target = torch.ops.aten.split_with_sizes.default
            copy.args = (copy.args[0], [two - one for one, two in pairwise(ends)], dim)
            copy.kwargs = {}

    def _slice(self, node: fx.Node, copy: fx.Node) -> None:
        arguments: tuple[Any, ...] = (*node.args, *(None,) * (4 - len(node.args)))
        source, dim, start, end = arguments[:4]
        axes = self._axes(source) if isinstance(source, fx.Node) else None
        if axes is None or not isinstance(dim, int) or self._size(axes[dim]) == axes[dim].size:
            return
        bounds = [start or 0, axes[dim].size if end is None else end]
        news = [self._bound(axes[dim], bound) for bound in bounds]
        if None not in news:
            copy.args = (copy.args[0], dim, *news, *copy.args[4:])

    def _bound(self, axis: Axis, bound: object) -> int | None:
        """A bound of a slice: beyond the end it may lie far beyond, below zero it counts from the end."""
        if not isinstance(bound, int):
            return None
        if bound >= axis.size:
            return max(bound, self._size(axis))
        return moved(axis, self.homes, bound % axis.size if bound < 0 else bound)

    def _narrow(self, node: fx.Node, copy: fx.Node) -> None:
        source, dim, start, length = node.args
        axes = self._axes(source) if isinstance(source, fx.Node) else None
        if axes is None or not isinstance(dim, int) or not isinstance(start, int) or not isinstance(length, int):
            return
        begin, end = (moved(axes[dim], self.homes, place) for place in (start, start + length))
        if begin is not None and end is not None:
            copy.args = (copy.args[0], dim, begin, end - begin)


def moved(axis: Axis, homes: Homes, place: int) -> int | None:
    """Where a cut between the indices of an axis lies in the merged network; None where a group would be cut.

    Args:
        axis: The axis as it was.
        homes: Where the units go.
        place: How many indices lie before the cut.
    """
    if place == 0:
        return 0
    if place == axis.size:
        return homes.axis(axis).size
    match axis:
        case FixedAxis():
            return place
        case ProductAxis((factor,)):
            return moved(factor, homes, place)
        case ProductAxis((first, *others)):
            inner = ProductAxis(tuple(others))
            begin, rest = moved(first, homes, place // inner.size), moved(inner, homes, place % inner.size)
            return None if begin is None or rest is None else begin * homes.axis(inner).size + rest
        case SumAxis(parts, runs):
            return _within(axis, parts, runs, homes, place)
        case _:
            return place if homes.axis(axis).size == axis.size else None


def factors(axis: Axis, homes: Homes) -> list[tuple[int, int]] | None:
    """The sizes that an axis is a product of, before and after: of queries, keys and values 3, heads, and one head."""
    match axis:
        case ProductAxis(parts):
            found = [factors(part, homes) for part in parts]
            return None if None in found else [size for part in found for size in part or ()]
        case SumAxis(parts, runs):
            found = [factors(part, homes) for part in parts]
            alike = len(runs) == len(parts) and all(part == found[0] for part in found)
            return None if not alike or found[0] is None else [(len(parts), len(parts)), *found[0]]
        case _:
            return [(axis.size, homes.axis(axis).size)]


def _within(axis: SumAxis, parts: tuple[Axis, ...], runs: tuple[Any, ...], homes: Homes, place: int) -> int | None:
    grown = homes.axis(axis)
    assert isinstance(grown, SumAxis)
    old = new = 0
    for run, after in zip(runs, grown.runs, strict=True):
        if place == old:
            return new
        if old < place < old + run.length:
            begin, cut = (moved(parts[run.part], homes, run.start + more) for more in (0, place - old))
            return None if begin is None or cut is None else new + cut - begin
        old, new = old + run.length, new + after.length
    return new


def _lengths(size: int, each: int) -> list[int]:
    return [min(each, size - start) for start in range(0, size, each)]
