"""The slow, obvious side: commutants as null spaces, partitions by trying all, basis maps by loops over indices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from weightspace.nn.unf.layer import UNFLayer
from weightspace.nn.unf.layout import FeatureShape, LabelledDim, Layout
from weightspace.nn.unf.mixing import Term
from weightspace.symmetry import Element
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.block import Block

MOST_DENSE = 1300  # pairs of entries for which a null space is computed
Dims = tuple[LabelledDim, ...]


def element_of(layout: Layout, label: str, context: tuple[int, ...], first: int) -> list[np.ndarray]:
    """A transposition as a permutation of the entries of every block, flat, features and folded dimensions alike.

    It swaps indices `first` and `first + 1` of a label for one index of its outer labels.
    """
    spec = layout.blocks.spec
    movable = {group.name: group for group in spec.groups}
    moves = []
    for block, shape in zip(layout.blocks.all, layout.all, strict=True):
        entries = torch.arange(int(np.prod(block.shape))).reshape(block.shape)
        if label in movable:
            perm = Element.identity(spec.all_groups).perm(label).clone()
            perm[(*context, slice(first, first + 2))] = torch.tensor([first + 1, first])
            moved = act_on_block(block, Element(spec.all_groups, {label: perm}), entries)
        else:
            moved = _swapped(block, shape, label, first, entries)
        moves.append(moved.reshape(-1).numpy())
    return moves


def _swapped(block: Block, shape: FeatureShape, label: str, first: int, entries: Tensor) -> Tensor:
    """Labels of dimensions that stay in place, which layers take for permutable; none is inside another."""
    for place, dim in zip(shape.kept, shape.dims, strict=True):
        if dim.label == label:
            assert dim.ordered
            assert dim.outer == ()
            order = torch.arange(dim.size)
            order[first : first + 2] = torch.tensor([first + 1, first])
            entries = entries.index_select(place, order)
    return entries


def generators(layout: Layout) -> Iterator[list[np.ndarray]]:
    """Transpositions of neighbours, of every label, for every index of its outer labels."""
    spec = layout.blocks.spec
    sizes = {dim.label: dim.size for shape in layout.all for dim in shape.dims}
    groups = {group.name: group for group in spec.all_groups}
    for label, size in sizes.items():
        outer = [groups[name].size for name in groups[label].depends_on] if label in groups else []
        for context in itertools.product(*map(range, outer)):
            for first in range(size - 1):
                yield element_of(layout, label, context, first)


def commutant_dimension(layout: Layout, out: int, into: int) -> int:
    """Dimension of the equivariant maps from the entries of one block to those of another."""
    rows, columns = (int(np.prod(layout.blocks.all[block].shape)) for block in (out, into))
    pairs = np.arange(rows * columns).reshape(rows, columns)
    moves = [pairs[np.ix_(moved[out], moved[into])].reshape(-1) for moved in generators(layout)]
    if rows * columns <= MOST_DENSE:
        # M is equivariant if P M = M for all of them; they are involutions, so that this is the kernel of sum (1 - P).
        constraints = len(moves) * np.eye(rows * columns)
        for moved in moves:
            constraints[np.arange(rows * columns), moved] -= 1
        return int((np.linalg.eigvalsh(constraints) < 1e-8).sum())
    starts = np.concatenate([np.arange(rows * columns) for _ in moves])
    graph = coo_matrix((np.ones(len(starts)), (starts, np.concatenate(moves))), shape=(rows * columns,) * 2)
    return int(connected_components(graph, directed=False)[0])


def set_partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, *rest = items
    for partition in set_partitions(rest):
        yield [[first], *partition]
        for place in range(len(partition)):
            yield [*partition[:place], [first, *partition[place]], *partition[place + 1 :]]


def joint_partitions(out: Dims, into: Dims) -> set[frozenset[frozenset[int]]]:
    """All partitions of the dimensions of two blocks, those of the input behind those of the output, that are valid."""
    dims = [*out, *(LabelledDim(d.label, d.size, tuple(len(out) + o for o in d.outer)) for d in into)]
    found = set()
    for parts in set_partitions(list(range(len(dims)))):
        number = {place: part for part, places in enumerate(parts) for place in places}
        keys = [{(dims[p].label, tuple(number[o] for o in dims[p].outer)) for p in places} for places in parts]
        if any(len(key) > 1 for key in keys):
            continue
        flat = [next(iter(key)) for key in keys]
        if all(flat.count(key) <= dims[places[0]].size for key, places in zip(flat, parts, strict=True)):
            found.add(frozenset(map(frozenset, parts)))
    return found


def joint(write: Term, read: Term) -> frozenset[frozenset[int]]:
    """The partition of a basis map."""
    offset = sum(len(part.dims) for part in write.partition)
    parts = [set(part.dims) for part in write.partition]
    for place, part in enumerate(read.partition):
        dims = {offset + dim for dim in part.dims}
        if place in read.slots:
            parts[write.slots[read.slots.index(place)]] |= dims
        else:
            parts.append(dims)
    return frozenset(map(frozenset, parts))


def dense(write: Term, read: Term, out: tuple[int, ...], into: tuple[int, ...]) -> Tensor:
    """The matrix of a basis map, (entries of the output, entries of the input), entry by entry."""
    matrix = torch.zeros(out + into, dtype=torch.float64)
    averaged = [part.size for place, part in enumerate(read.partition) if place not in read.slots]
    for i in itertools.product(*map(range, out)):
        for j in itertools.product(*map(range, into)):
            equal = all(len({i[dim] for dim in part.dims}) == 1 for part in write.partition)
            equal &= all(len({j[dim] for dim in part.dims}) == 1 for part in read.partition)
            equal &= all(
                i[write.partition[a].dims[0]] == j[read.partition[b].dims[0]]
                for a, b in zip(write.slots, read.slots, strict=True)
            )
            matrix[i + j] = equal / np.prod(averaged)
    return matrix.reshape(int(np.prod(out)), int(np.prod(into)))


def slow_forward(layer: UNFLayer, layout: Layout, features: list[Tensor]) -> list[Tensor]:
    """One basis map after the other."""
    outs: list[Tensor | float] = [0.0] * len(features)
    sizes = [shape.sizes for shape in layout.all]
    for write, read, matrix in layer.maps():
        basis = dense(write, read, sizes[write.block], sizes[read.block])
        flat = features[read.block].reshape(len(features[0]), -1, matrix.shape[0])
        outs[write.block] = outs[write.block] + torch.einsum("oi,nic,cd->nod", basis, flat, matrix)
    for write, bias in layer.constants():
        ones = dense(write, Term(0, (), ()), sizes[write.block], ())
        outs[write.block] = outs[write.block] + torch.einsum("oi,d->od", ones, bias)
    return [
        out.reshape(len(values), *size, -1)
        for out, values, size in zip(outs, features, sizes, strict=True)
        if isinstance(out, Tensor)
    ]
