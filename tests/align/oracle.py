"""Shared by the tests of alignment: small specs written by hand, and slow, obvious searches over group elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tests.symmetry.oracle import concatenated
from weightspace.align.balance import block_weights
from weightspace.align.problem import Problem
from weightspace.symmetry import Element, Group, Spec, TensorSpec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis

State = dict[str, Tensor]


def spec_of(groups: tuple[Group, ...], axes: Mapping[str, tuple[Axis, ...]], aliases: Mapping[str, str] = {}) -> Spec:
    """A spec whose tensors are all parameters."""
    return Spec(groups, {name: TensorSpec(tree) for name, tree in axes.items()}, aliases)


def fixed(size: int) -> FixedAxis:
    return FixedAxis(size, "test")


def mlp_spec(inputs: int = 3, first: int = 4, second: int = 4, outputs: int = 2) -> Spec:
    """A perceptron with two hidden layers; every tensor but the last bias moves."""
    a, b = GroupAxis("a", first), GroupAxis("b", second)
    return spec_of(
        (Group("a", first), Group("b", second)),
        {
            "0.weight": (a, fixed(inputs)),
            "0.bias": (a,),
            "2.weight": (b, a),
            "2.bias": (b,),
            "4.weight": (fixed(outputs), b),
            "4.bias": (fixed(outputs),),
        },
    )


def recurrent_spec(n: int = 4, gates: int = 1) -> Spec:
    """A recurrent layer with a reader: the recurrent weight carries the group on both axes, once per gate."""
    h = GroupAxis("h", n)
    stacked = concatenated(*[h] * gates)
    return spec_of(
        (Group("h", n),),
        {"ih": (stacked, fixed(2)), "hh": (stacked, h), "bias": (stacked,), "out": (fixed(2), h)},
    )


def attention_spec(heads: int = 3, qk: int = 3, vo: int = 2, width: int = 4) -> Spec:
    """Attention on a fixed residual stream: query-key and value-output dimensions lie in different blocks."""
    h = GroupAxis("heads", heads)
    q, v = ProductAxis((h, GroupAxis("qk", qk))), ProductAxis((h, GroupAxis("vo", vo)))
    return spec_of(
        (Group("heads", heads), Group("qk", qk, ("heads",)), Group("vo", vo, ("heads",))),
        {
            "q.weight": (q, fixed(width)),
            "q.bias": (q,),
            "k.weight": (q, fixed(width)),
            "v.weight": (v, fixed(width)),
            "v.bias": (v,),
            "o.weight": (fixed(width), v),
            "slope": (h,),
        },
    )


def grouped_queries_spec(kv: int = 3, queries: int = 2, vo: int = 3, width: int = 4) -> Spec:
    """Grouped queries with rotary embeddings: the output weight carries two inner groups of the key-value heads."""
    h, per, v = GroupAxis("kv", kv), GroupAxis("queries", queries), GroupAxis("vo", vo)
    return spec_of(
        (Group("kv", kv), Group("queries", queries, ("kv",)), Group("vo", vo, ("kv",))),
        {
            "q.weight": (ProductAxis((h, per, fixed(2))), fixed(width)),
            "k.weight": (ProductAxis((h, fixed(2))), fixed(width)),
            "v.weight": (ProductAxis((h, v)), fixed(width)),
            "o.weight": (fixed(width), ProductAxis((h, per, v))),
        },
    )


def bilinear_spec(outer: int = 3, left: int = 3, right: int = 3) -> Spec:
    """Every block of each inner group carries the other one, too: nothing says which of them to match first."""
    o, x, y = GroupAxis("outer", outer), GroupAxis("left", left), GroupAxis("right", right)
    return spec_of(
        (Group("outer", outer), Group("left", left, ("outer",)), Group("right", right, ("outer",))),
        {"w": (ProductAxis((o, x, y)), fixed(2)), "u": (o, x, y)},
    )


def random_state(spec: Spec, seed: int, *, integers: bool = False) -> State:
    """Gaussian values, or integers from -2 to 2, which make ties, zero rows and duplicates."""
    generator = torch.Generator().manual_seed(seed)
    if integers:
        return {
            name: torch.randint(-2, 3, tensor.shape, generator=generator).float()
            for name, tensor in spec.tensors.items()
        }
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in spec.tensors.items()}


def problem_of(spec: Spec, seed: int, *, integers: bool = False) -> tuple[Problem, State, State]:
    """A problem between two random networks, and the networks."""
    a, b = (random_state(spec, 2 * seed + offset, integers=integers) for offset in (0, 1))
    return Problem(a, b, spec, torch.device("cpu")), a, b


def inner_product(spec: Spec, a: State, b: State) -> float:
    """Sum over the parameters, in float64; entries that no group moves are part of it."""
    return math.fsum(
        float((a[name].double() * b[name].double()).sum())
        for name, tensor in spec.tensors.items()
        if tensor.kind == "parameter"
    )


def objective(spec: Spec, a: State, b: State, moved: State, *, balanced: bool) -> float:
    """Sum of weighted inner products of A with a moved B over the blocks that some group moves, in float64.

    The weights are those of A and of B as it came.
    """
    parameters = [
        block
        for name, tensor in spec.tensors.items()
        if tensor.kind == "parameter"
        for block in spec.blocks[name]
        if block.groups & {group.name for group in spec.groups}
    ]
    norms = [
        (float(block.read(a[block.tensor]).double().norm()), float(block.read(b[block.tensor]).double().norm()))
        for block in parameters
    ]
    weights = block_weights(parameters, norms) if balanced else [1.0] * len(parameters)
    return math.fsum(
        weight * float((block.read(a[block.tensor]).double() * block.read(moved[block.tensor]).double()).sum())
        for block, weight in zip(parameters, weights, strict=True)
    )


def elements(spec: Spec, names: list[str]) -> Iterator[Element]:
    """Every element of the group that moves the named groups only."""
    groups = {group.name: group for group in spec.all_groups}
    choices = []
    for name in names:
        outer = [groups[o].size for o in groups[name].depends_on]
        rows = list(itertools.permutations(range(groups[name].size)))
        choices.append(
            [
                torch.tensor(chosen).reshape(*outer, groups[name].size)
                for chosen in itertools.product(rows, repeat=math.prod(outer))
            ]
        )
    for chosen in itertools.product(*choices):
        yield Element(spec.all_groups, dict(zip(names, chosen, strict=True)))


def best_objective(spec: Spec, a: State, b: State, names: list[str]) -> float:
    """The largest inner product that any element of the named groups reaches."""
    return max(inner_product(spec, a, spec.apply(element, b)) for element in elements(spec, names))
