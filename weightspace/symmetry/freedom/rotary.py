"""Rotary position embeddings: each frequency pair of queries and keys may be turned, and scaled against each other.

A rotary embedding multiplies the pair of dimensions of one frequency by a rotation R(position). Q -> a R(phi) Q and
K -> (1/a) R(phi) K commute with that and keep all scores (algorithms.md, "Transformers"). Which dimensions form a pair
is a matter of layout: (i, i + n) or (2i, 2i + 1). The operators between the projections and the scores are linear and
their constants are known, so a layout is proven on random numbers: scores are polynomials in them, and two different
polynomials agree at a random point with probability 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.symmetry.block import axis_pieces
from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.context import Context
from weightspace.symmetry.freedom.layout import named_axis
from weightspace.symmetry.freedom.projected import Side, projected
from weightspace.symmetry.freedom.replay import LINEAR, replay
from weightspace.symmetry.freedom.values import random_turns, turned
from weightspace.symmetry.freedom.wiring import Wiring
from weightspace.symmetry.label import Atom, Label, leaf_labels, resolve

ERROR = 1e-9  # relative; exact layouts give rounding errors, others errors of order one
_SCORES = ("bmm", "baddbmm", "mm")


@dataclass(frozen=True, eq=False)
class Pairs:
    """A proven layout.

    Attributes:
        heads: The atom of the heads of keys and values, each with a value of its own; None where all share one.
        groups: Number of those heads, or 1.
        count: Number of frequencies.
        tensors: For every tensor its axis, its positions of shape (key heads, copies, frequencies, 2), and 1 for
            queries, -1 for keys.
    """

    heads: Atom | None
    groups: int
    count: int
    tensors: tuple[tuple[str, int, Tensor, int], ...]


def rotary_pairs(context: Context) -> Iterator[Pairs]:
    """Finds the frequency pairs of all attention layers of a trace, each proven."""
    wiring = Wiring(context.trace)
    for call in context.trace.calls:
        operands = _operands(call)
        if operands is None:
            continue
        query, key = (projected(ref, wiring) for ref in operands)
        if query is not None and key is not None and (_turns(query, wiring) or _turns(key, wiring)):
            found = _proven(context, wiring, call, query, key)
            if found is not None:
                yield found


def _turns(side: Side, wiring: Wiring) -> bool:
    """Whether something is multiplied by a constant that varies, as by the sines of positions."""
    return any(
        call.name == "mul" and ref.key in wiring.values and math.prod(ref.shape) > 1
        for call in side.calls
        for ref in call.inputs
    )


def _operands(call: Call) -> tuple[TensorRef, TensorRef] | None:
    """Queries and keys, where a call may form scores."""
    if call.name.startswith("_scaled_dot_product"):
        return call["query"], call["key"]
    if call.name in _SCORES:
        refs = call.inputs[-2:]
        return refs[0], refs[1]
    return None


def _proven(context: Context, wiring: Wiring, call: Call, query: Side, key: Side) -> Pairs | None:
    """A layout under which the scores stay, if there is one."""
    size = query.result.shape[-1]
    generator = torch.Generator().manual_seed(0)
    sides = (query, key)
    fused = query.product is key.product
    starts = [_random(side.product.output.shape, generator) for side in sides]
    if fused:
        starts[1] = starts[0]
    windows = [_windows(context, side, size) for side in sides]
    if any(len(window) == 0 for window in windows) or len(windows[0]) % len(windows[1]):
        return None
    heads = _heads(context, key, windows[1], size)
    groups = 1 if heads is None else len(windows[1])
    expected = _scores(context, call, sides, starts)
    for pairs in _layouts(context, key, windows[1][0], size):
        places = [window.reshape(groups, -1, 1, 1) + pairs for window in windows]  # (key heads, copies, frequencies, 2)
        value = random_turns((groups, len(pairs)), generator)
        values = (value, 1 / value.conj())
        if fused:
            moved = [turned(turned(starts[0], -1, places[0], values[0]), -1, places[1], values[1])] * 2
        else:
            moved = [turned(s, -1, p, v) for s, p, v in zip(starts, places, values, strict=True)]
        found = _scores(context, call, sides, moved)
        kept = float((found - expected).abs().max()) <= ERROR * float(expected.abs().max())
        if kept and not any(_leaks(wiring, call, side, p) for side, p in zip(sides, places, strict=True)):
            tensors = [(name, axis, places[0], 1) for name, axis in query.tensors]
            tensors += [(name, axis, places[1], -1) for name, axis in key.tensors]
            return Pairs(heads, value.shape[0], value.shape[1], tuple(tensors))
    return None


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _run(context: Context, side: Side, start: Tensor) -> dict[int, Tensor]:
    return replay(side.calls, {side.product.output.key: start}, context.trace.values)


def _scores(context: Context, call: Call, sides: tuple[Side, Side], starts: list[Tensor]) -> Tensor:
    """Products of queries and keys, times a random vector over the keys: as good for a comparison, and cheap."""
    query, key = (_run(context, s, start)[s.result.key] for s, start in zip(sides, starts, strict=True))
    if call.name not in _SCORES:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1).mT
    return query @ (key @ _random((key.shape[-1], 1), torch.Generator().manual_seed(1)))


def _windows(context: Context, side: Side, size: int) -> Tensor:
    """First positions of the heads on the output axis of a projection: stretches of ``size`` that the result sees."""
    shape = side.product.output.shape
    starts = torch.arange(0, shape[-1], size)
    if shape[-1] % size:
        return starts[:0]
    if math.prod(side.result.shape) >= math.prod(shape):  # nothing was cut off
        return starts
    # What lies between is linear: a random sum of the result has a gradient exactly where the result sees something.
    probe = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        result = _run(context, side, probe)[side.result.key]
        weights = _random(tuple(result.shape), torch.Generator().manual_seed(2))
        (seen,) = torch.autograd.grad((result * weights).sum(), probe)
    return starts[seen.reshape(-1, len(starts), size).abs().sum((0, 2)) > 0]


def _label(context: Context, side: Side) -> Label:
    name, axis = side.tensors[0]
    return resolve(context.algebra.plain(context.labels[context.trace.tensors[name].key])[axis])


def _heads(context: Context, key: Side, windows: Tensor, size: int) -> Atom | None:
    """The atom whose indices are the heads of the keys, in the order of their stretches."""
    label = _label(context, key)
    for atom in {leaf for leaf in leaf_labels(label) if isinstance(leaf, Atom) and leaf.size == len(windows)}:
        owner = torch.full((label.size,), -1)
        for piece in axis_pieces(named_axis(label, {atom: "heads"})):
            if "heads" in piece.groups:
                shape = [-1 if group == "heads" else 1 for group in piece.groups]
                owner[piece.index] = torch.arange(atom.size).reshape(shape).expand(piece.index.shape)
        if bool((owner[windows.unsqueeze(1) + torch.arange(size)] == torch.arange(len(windows)).unsqueeze(1)).all()):
            return atom
    return None


def _layouts(context: Context, key: Side, start: int | Tensor, size: int) -> Iterator[Tensor]:
    """Possible pairs among the positions of a head that stay in place, of shape (frequencies, 2)."""
    label = _label(context, key)
    ordered = torch.ones(label.size, dtype=torch.bool)
    free = {leaf: "free" for leaf in leaf_labels(label) if isinstance(leaf, Atom) and leaf.frozen is None}
    for piece in axis_pieces(named_axis(label, free)):
        if piece.groups and piece.groups[-1] == "free":
            ordered[piece.index] = False
    (positions,) = ordered[int(start) : int(start) + size].nonzero(as_tuple=True)
    half = len(positions) // 2
    if half and len(positions) % 2 == 0:
        yield torch.stack([positions[:half], positions[half:]], dim=1)
        yield positions.reshape(half, 2)


def _leaks(wiring: Wiring, scores: Call, side: Side, places: Tensor) -> bool:
    """Whether anything but the scores sees the pairs."""
    start = side.product.output
    probe = torch.zeros(start.shape, dtype=torch.float64)
    probe[..., places.reshape(-1)] = 1.0 + torch.arange(places.numel(), dtype=torch.float64)
    # Other parts of a fused projection go other ways: copies of them are followed, to see that no pair is there.
    reached = {start.key}
    followed: dict[int, Call] = {}
    waiting = [start.key]
    while waiting:
        for call in wiring.readers[waiting.pop()]:
            ready = all(ref.key in reached or ref.key in wiring.values for ref in call.inputs)
            if id(call) not in followed and ready and call.name in LINEAR and not call.written:
                followed[id(call)] = call
                reached |= {ref.key for ref in call.outputs}
                waiting += [ref.key for ref in call.outputs]
    values = replay(wiring.in_order(followed.values()), {start.key: probe}, wiring.values)
    visible = {key for key, value in values.items() if bool(value.any())}
    return bool(visible & wiring.outputs) or any(
        id(call) not in followed and call is not scores for key in visible for call in wiring.readers[key]
    )
