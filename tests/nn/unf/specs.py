"""Small specs: of real networks, written by hand, and random ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.blocks import Blocks
from weightspace.nn.unf.layout import Layout
from weightspace.symmetry import Group, Spec, TensorSpec, derive
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis

MOST_ENTRIES = 64


def heads() -> Spec:
    """Multi-head attention: queries, values and what reads them."""
    h, qk, vo, x = GroupAxis("h", 2), GroupAxis("qk", 3), GroupAxis("vo", 2), GroupAxis("x", 3)
    groups = (Group("x", 3), Group("h", 2), Group("qk", 3, ("h",)), Group("vo", 2, ("h",)))
    tensors = {
        "q": (ProductAxis((h, qk)), x), "q_bias": (ProductAxis((h, qk)),), "v": (ProductAxis((h, vo)), x),
        "o": (x, ProductAxis((h, vo))), "scale": (h,),
    }  # fmt: skip
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def grouped_queries() -> Spec:
    """Several query heads on one head of keys and values."""
    kv, g, d, x = GroupAxis("kv", 2), GroupAxis("g", 2), GroupAxis("d", 2), GroupAxis("x", 2)
    groups = (Group("x", 2), Group("kv", 2), Group("g", 2, ("kv",)), Group("d", 2, ("kv",)))
    tensors = {
        "q": (ProductAxis((kv, g, d)), x), "k": (ProductAxis((kv, d)), x), "q_bias": (ProductAxis((kv, g, d)),),
    }  # fmt: skip
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def nested() -> Spec:
    """Three floors, one inside the other, twice in one tensor."""
    a, b, c = GroupAxis("a", 2), GroupAxis("b", 2), GroupAxis("c", 2)
    groups = (Group("a", 2), Group("b", 2, ("a",)), Group("c", 2, ("a", "b")))
    tensors = {"one": (ProductAxis((a, b, c)),), "two": (ProductAxis((a, b)), ProductAxis((a, b))), "bc": (a, b, c)}
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def slopes() -> Spec:
    """Ordered heads, each with its own permutation inside."""
    h, d, x = GroupAxis("h", 2), GroupAxis("d", 3), GroupAxis("x", 3)
    groups = (Group("h", 2, (), ()), Group("d", 3, ("h",)), Group("x", 3))
    tensors = {"w": (ProductAxis((h, d)), x), "b": (ProductAxis((h, d)),), "slope": (h,)}
    return Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def recurrent(size: int = 4) -> Spec:
    """A hidden state that reads itself."""
    h = GroupAxis("h", size)
    tensors = {"hh": (h, h), "bias": (h,), "ih": (h, FixedAxis(2, "input"))}
    return Spec((Group("h", size),), {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def derived(make: Callable[[], networks.Network]) -> Spec:
    module, args, kwargs = make()
    return derive(module.eval(), args, kwargs)


@st.composite
def random_specs(draw: st.DrawFn, most: int = MOST_ENTRIES) -> Spec:
    """Groups inside groups, some of them ordered, on tensors with axes that are products or fixed."""
    groups: list[Group] = []
    for number in range(draw(st.integers(1, 3))):
        outer = draw(st.sampled_from([None, *groups])) if groups else None
        depends = () if outer is None else (*outer.depends_on, outer.name)
        kinds = () if outer is None and draw(st.integers(0, 4)) == 0 else ("permutation",)
        groups.append(Group(f"g{number}", draw(st.integers(1, 4)), depends, kinds))
    known = {group.name: group for group in groups}

    def axis() -> Axis:
        if draw(st.integers(0, 3)) == 0:
            return FixedAxis(draw(st.integers(1, 3)), draw(st.sampled_from(["input", "output"])))
        group = draw(st.sampled_from(groups))
        leaf = GroupAxis(group.name, group.size)
        if not group.depends_on or draw(st.integers(0, 2)) == 0:
            return leaf
        return ProductAxis((*(GroupAxis(name, known[name].size) for name in group.depends_on), leaf))

    tensors = {
        f"t{i}": TensorSpec(tuple(axis() for _ in range(draw(st.integers(0, 3)))))
        for i in range(draw(st.integers(1, 3)))
    }
    assume(all(math.prod(tensor.shape) <= most for tensor in tensors.values()))
    try:
        return Spec(tuple(groups), tensors, {})
    except SpecError:  # an inner axis without its outer one
        assume(False)
        raise


def random_batch(spec: Spec, networks_: int, seed: int = 0) -> dict[str, Tensor]:
    """Weights by name (networks, *shape), float64."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(networks_, *tensor.shape, generator=generator, dtype=torch.float64)
        for name, tensor in spec.tensors.items()
    }


def moved(spec: Spec, batch: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Every network permuted by an element of its own, the same ones at every call."""
    generator = torch.Generator().manual_seed(seed)
    count = len(next(iter(batch.values())))
    rows = [spec.apply(spec.random_element(generator), {n: t[i] for n, t in batch.items()}) for i in range(count)]
    return {name: torch.stack([row[name] for row in rows]) for name in batch}


def layout_of(spec: Spec, fold: int = 16) -> Layout:
    return Layout(Blocks(spec), fold)
