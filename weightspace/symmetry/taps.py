"""Where in a forward pass the values of a group can be seen: which output of which operator carries it, and how.

A group acts on activations as on weights: labels of the same propagation say along which dimension of every value of
the forward pass its indices lie. A tap is one such place; all that is not the group or what it depends on (examples,
positions, tokens, kernels of pooling) is a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from weightspace.errors import SpecError
from weightspace.symmetry.block import Block, tensor_blocks
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.derive import axes_of, is_free, named_spec
from weightspace.symmetry.group import Group
from weightspace.symmetry.label import Atom, Labels, Varying, leaf_labels, resolve
from weightspace.symmetry.propagate import propagate
from weightspace.symmetry.sequence import numbered
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.trace import trace

_RESHAPING = frozenset({"_unsafe_view", "_reshape_copy", "unsafe_split", "unsafe_split_with_sizes"})

Depth = Literal["made", "read", "all"]


@dataclass(frozen=True, eq=False)
class Tap:
    """A value of the forward pass that carries a group.

    Attributes:
        group: Name of the group; what it depends on is carried as well.
        number: Which operator of `Taps.sequence` makes the value.
        output: Which of its outputs.
        block: The part of the value that carries the group.
        place: The dimension of the block that carries it.
        made: Whether the group comes into being here: no activation that carried it went in. These are the values
            before activation functions and normalisation, and in a residual stream what each branch adds.
        read: Whether an operator sums over the group here, against weights or another activation: the values after
            activation functions, and in a residual stream what each branch reads.
    """

    group: str
    number: int
    output: int
    block: Block
    place: int
    made: bool
    read: bool = False

    def values(self, output: Tensor) -> Tensor:
        """The values of the group in the operator's output, of shape (samples, sizes of the outer groups..., n)."""
        outer = self.block.dims[self.place].outer
        kept = (*outer, self.place)
        rest = [dim for dim in range(len(self.block.dims)) if dim not in kept]
        values = self.block.read(output).permute(*rest, *kept)
        return values.reshape(-1, *(self.block.dims[dim].size for dim in kept))


@dataclass(frozen=True, eq=False)
class Taps:
    """All taps of a network on inputs of some shape.

    Attributes:
        spec: The symmetry of the network, without freedoms beside the permutations.
        sequence: Names of the operators that run, without the silent ones.
        taps: In the order in which their values come into being.
    """

    spec: Spec
    sequence: tuple[str, ...]
    taps: tuple[Tap, ...]

    def chosen(self, depth: Depth) -> Taps:
        """Only the taps of one depth; of a group that cannot be seen there, all taps.

        Args:
            depth: ``made``, ``read`` (see `Tap`), or ``all``.
        """
        if depth == "all":
            return self
        there = {tap.group for tap in self.taps if getattr(tap, depth)}
        return replace(self, taps=tuple(tap for tap in self.taps if getattr(tap, depth) or tap.group not in there))


def derive_taps(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Taps:
    """Finds where the groups of a network can be seen, on inputs of the shape of the given ones.

    Args:
        module: As for `weightspace.symmetry.derive.derive`.
        args: Inputs; of floating ones only the shape counts.
        kwargs: Further inputs by name.

    Raises:
        TraceError: If the forward pass cannot be recorded.
    """
    recorded = trace(module, args, kwargs)
    context = propagate(recorded)
    spec, names = named_spec(context, is_free)
    sequence, calls = numbered(recorded)
    return Taps(spec, sequence, tuple(_Finder(context, spec, names).run(calls)))


class _Finder:
    """Goes through a trace, and keeps for every tensor which taps its values are."""

    def __init__(self, context: Context, spec: Spec, names: Mapping[Atom, str]) -> None:
        self.context = context
        self.names = names
        self.groups: dict[str, Group] = {group.name: group for group in spec.all_groups}
        self.active = {ref.storage for ref in context.trace.inputs}  # storages whose values depend on the input
        self.taps: dict[tuple[int, int], list[Tap]] = {}  # operator, output -> its taps
        self.value: dict[int, tuple[int, int]] = {}  # tensor -> operator and output that made its values

    def run(self, calls: Sequence[tuple[int | None, Call]]) -> Iterator[Tap]:
        for number, call in calls:
            self._visit(number, call)
        for taps in self.taps.values():
            yield from taps

    def _visit(self, number: int | None, call: Call) -> None:
        refs = call.inputs
        if not any(ref.storage in self.active for ref in refs):
            return
        self.active.update(ref.storage for ref in (*call.outputs, *call.written))
        if number is None or call.op.is_view or call.name in _RESHAPING:
            source = next(ref for ref in refs if ref.storage in self.active)
            for output in call.outputs:
                if source.key in self.value:
                    self.value[output.key] = self.value[source.key]
            return
        went_in = [self._carried(ref) for ref in refs]
        came_out = set().union(*(self._carried(ref) for ref in call.outputs))
        known = set().union(
            *(groups for ref, groups in zip(refs, went_in, strict=True) if ref.storage in self.active), set()
        )
        for ref in refs:
            ended = {group for group in self._carried(ref) - came_out if sum(group in own for own in went_in) > 1}
            if ended and ref.storage in self.active and ref.key in self.value:
                at = self.value[ref.key]
                self.taps[at] = [replace(tap, read=tap.read or tap.group in ended) for tap in self.taps[at]]
        for output, ref in enumerate(call.outputs):
            self.taps[number, output] = list(self._taps(number, output, ref, known))
            self.value[ref.key] = number, output
        for ref in call.written:
            if call.outputs:
                self.value[ref.key] = number, 0

    def _labels(self, ref: TensorRef) -> Labels:
        """Labels of a tensor; none where they vary or are not those of this shape."""
        labels = [resolve(label) for label in self.context.labels.get(ref.key, ())]
        if tuple(label.size for label in labels) != ref.shape or any(isinstance(label, Varying) for label in labels):
            return []
        return labels

    def _carried(self, ref: TensorRef) -> set[str]:
        leaves = {leaf for label in self._labels(ref) for leaf in leaf_labels(label) if isinstance(leaf, Atom)}
        return {self.names[leaf] for leaf in leaves if leaf in self.names}

    def _taps(self, number: int, output: int, ref: TensorRef, known: set[str]) -> Iterator[Tap]:
        if not ref.dtype.is_floating_point or not math.prod(ref.shape) or not self._carried(ref):
            return
        try:
            blocks = tensor_blocks("", axes_of(self._labels(ref), self.names), self.groups)
        except SpecError:  # an inner group whose outer index is no dimension here
            return
        for block in blocks:
            place = self._place(block)
            if place is not None:
                group = block.dims[place].group
                assert group is not None
                yield Tap(group, number, output, block, place, made=group not in known)

    def _place(self, block: Block) -> int | None:
        """The dimension of the group that the block shows: all other groups in it must be what that one depends on."""
        movable = [at for at, dim in enumerate(block.dims) if dim.group is not None and self.groups[dim.group].movable]
        for place in movable:
            kept = {place, *block.dims[place].outer}
            if kept.issuperset(movable) and len(kept) < len(block.dims):  # statistics of a batch are no samples
                return place
        return None
