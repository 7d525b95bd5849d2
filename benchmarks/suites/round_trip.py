"""One network as a parameter graph and back, in both directions, with what that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

import suites
from suites import Case
from weightspace.graph import TAPS, GraphLayout, ParameterGraph, graph_layout, to_graph, to_tensors
from weightspace.source import TimmSource
from weightspace.symmetry import derive

Value = TypeVar("Value")
Record = dict[str, Any]
PEAK = 4_700_000_000  # bytes of tensors at a time; where graphs with 9 taps need more they have one
# Some hundred million parameters, in layers that are all alike: fewer of them.
SHALLOW: dict[str, dict[str, Any]] = {"deepseek_vit": {"depth": 4}, "gemma4_vit": {"depth": 6}}


@cache
def by_name(suite: str) -> dict[str, Case]:
    return {case.name: case for case in suites.cases(suite)}


def round_trip(suite: str, family: str, name: str) -> Record:
    """Lays out the graph of a network, and takes random weights there and back.

    Networks of timm are built on the meta device, so their weights are drawn here; those of transformers are tiny and
    have their own. Seconds are wall-clock, the first time each (`again`: the second conversion, when all but the
    weights is there).
    """
    start = time.perf_counter()
    if suite == "timm":
        source = TimmSource(name, name, model_args=tuple(SHALLOW.get(family, {}).items()))
        module, inputs = source.build(meta=True), source.example_inputs(batch=1)
    else:
        module, inputs = by_name(suite)[name].build()
    spec = derive(module, inputs.args, inputs.kwargs)
    derived = time.perf_counter() - start
    layout, layout_seconds = timed(lambda: graph_layout(spec))
    draw, own = torch.Generator().manual_seed(0), module.state_dict()
    state = {
        name: torch.randn(own[name].shape, generator=draw, dtype=own[name].dtype) if own[name].is_meta else own[name]
        for name in layout.names
    }
    taps = TAPS if peak(layout, TAPS) <= PEAK else 1
    graph, convert = timed(lambda: to_graph(layout, state, taps=taps))
    tensors, back = timed(lambda: to_tensors(layout, graph))
    exact = all(same(tensors[name].to(state[name].dtype), state[name]) for name in layout.names)
    whole = set(own) == set(tensors) | {name for name, tensor in spec.tensors.items() if tensor.kind == "buffer"}
    entries = sum(tensor.numel() for tensor in state.values())
    state.clear()  # makes room
    graph_again, again = timed(lambda: to_graph(layout, tensors, taps=taps))
    return {
        "suite": suite,
        "family": family,
        "name": name,
        "changed": SHALLOW.get(family, {}) if suite == "timm" else {},
        "entries": entries,
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "taps": taps,
        "bytes": size(graph),
        "derive": derived,
        "layout": layout_seconds,
        "convert": convert,
        "back": back,
        "again": again,
        "to_tensors_exact": exact,
        "to_graph_exact": same(graph_again["edge_attr"], graph["edge_attr"]),
        "whole": whole,
    }


def peak(layout: GraphLayout, taps: int) -> int:
    """Bytes of a graph, of the values of another one, and of the weights."""
    edges = sum(each.grid.size * math.ceil(each.taps / taps) for each in layout.entries)
    entries = sum(math.prod(layout.spec.tensors[name].shape) for name in layout.names)
    return edges * (4 * 8 + 2 * 4 * taps) + 4 * entries


def size(graph: ParameterGraph) -> int:
    return sum(value.nbytes for _, value in graph if isinstance(value, Tensor))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same bits."""
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    return one.dtype == other.dtype and torch.equal(one.view(bits), other.view(bits))


def timed(call: Callable[[], Value]) -> tuple[Value, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start
