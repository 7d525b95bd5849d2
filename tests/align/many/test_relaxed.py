"""Soft elements: at the vertices they are the group elements themselves."""

from __future__ import annotations

import pytest
import torch

from tests.align.oracle import (
    attention_spec,
    bilinear_spec,
    fixed,
    grouped_queries_spec,
    mlp_spec,
    recurrent_spec,
    spec_of,
)
from weightspace.align.many.relaxed import centre, chains, relaxable, vertex
from weightspace.align.nested import match_similarities
from weightspace.symmetry import Element, Group, Spec
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.axis import GroupAxis, ProductAxis
from weightspace.symmetry.block import Block

CPU = torch.device("cpu")


def in_order_spec() -> Spec:
    """An inner group with a permutation for every pair of a frozen and a movable index."""
    place, h = GroupAxis("place", 2), GroupAxis("h", 3)
    return spec_of(
        (Group("place", 2, kinds=()), Group("h", 3, ("place",)), Group("d", 2, ("place", "h"))),
        {"w": (fixed(3), ProductAxis((place, h, GroupAxis("d", 2)))), "v": (ProductAxis((place, h)),)},
    )


def deep_spec() -> Spec:
    """Three groups within each other."""
    a, b, c = GroupAxis("a", 2), GroupAxis("b", 3), GroupAxis("c", 2)
    return spec_of(
        (Group("a", 2), Group("b", 3, ("a",)), Group("c", 2, ("a", "b"))),
        {"abc": (ProductAxis((a, b, c)), fixed(3)), "ab": (fixed(2), ProductAxis((a, b)))},
    )


SPECS = {
    "mlp": mlp_spec(),
    "recurrent": recurrent_spec(gates=2),
    "attention": attention_spec(),
    "in order": in_order_spec(),
    "deep": deep_spec(),
}


def blocks_of(spec: Spec) -> list[Block]:
    return [block for name in spec.tensors for block in spec.blocks[name] if block.groups]


def names(spec: Spec) -> list[str]:
    return [group.name for group in spec.groups]


def element(spec: Spec, seed: int) -> Element:
    return spec.random_element(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("seed", range(3))
def test_a_vertex_acts_as_its_element(name: str, seed: int):
    spec = SPECS[name]
    moving = element(spec, seed)
    matrices = vertex(moving, names(spec), CPU)
    for block in blocks_of(spec):
        values = torch.randn(block.shape)
        soft = values
        for chain in chains(block, spec):
            soft = chain.act(matrices[chain.group], soft)
        torch.testing.assert_close(soft, act_on_block(block, moving, values))


@pytest.mark.parametrize("name", SPECS)
def test_the_vertex_nearest_to_a_vertex_is_the_vertex(name: str):
    spec = SPECS[name]
    moving = element(spec, 3)
    found = match_similarities(spec, vertex(moving, names(spec), CPU))
    assert moving.inverse().then(found).is_identity()


@pytest.mark.parametrize("name", SPECS)
def test_matrices_between_vertices_share_out_every_index(name: str):
    spec = SPECS[name]
    corner, middle = vertex(element(spec, 1), names(spec), CPU), centre(spec, names(spec), CPU)
    for group in names(spec):
        between = torch.lerp(corner[group], middle[group], 0.3)
        for dim in (-1, -2):
            torch.testing.assert_close(between.sum(dim), torch.ones(between.shape[:-1]))
            assert bool((middle[group] == 1 / between.shape[-1]).all())


def test_an_inner_matrix_agrees_with_the_outer_one():
    spec = attention_spec(heads=3, qk=2)
    soft = [vertex(element(spec, seed), names(spec), CPU) for seed in (0, 1)]
    heads, inner = (torch.lerp(soft[0][group], soft[1][group], 0.25) for group in ("heads", "qk"))
    torch.testing.assert_close(inner.reshape(3, 2, 3, 2).sum((1, 3)) / 2, heads[0])


@pytest.mark.parametrize("name", SPECS)
def test_what_lies_within_each_other_has_a_soft_form(name: str):
    spec = SPECS[name]
    assert relaxable(spec, blocks_of(spec)) == set(names(spec))


@pytest.mark.parametrize("spec", [grouped_queries_spec(), bilinear_spec()], ids=["grouped queries", "bilinear"])
def test_two_inner_groups_in_one_block_have_none(spec: Spec):
    assert relaxable(spec, blocks_of(spec)) == set()


def test_groups_beside_those_without_a_soft_form_keep_theirs():
    free = GroupAxis("free", 4)
    inner = ProductAxis((GroupAxis("kv", 2), GroupAxis("queries", 2), GroupAxis("vo", 3)))
    keys = ProductAxis((GroupAxis("kv", 2), GroupAxis("qk", 2)))
    groups = (Group("kv", 2), *(Group(name, size, ("kv",)) for name, size in (("queries", 2), ("vo", 3), ("qk", 2))))
    spec = spec_of((*groups, Group("free", 4)), {"o": (free, inner), "k": (keys, fixed(2))})
    assert relaxable(spec, blocks_of(spec)) == {"free"}


def test_two_outer_groups_side_by_side_have_no_soft_form():
    h, g = GroupAxis("h", 2), GroupAxis("g", 2)
    spec = spec_of(
        (Group("h", 2), Group("g", 2), Group("d", 3, ("h", "g"))), {"w": (ProductAxis((h, g, GroupAxis("d", 3))),)}
    )
    assert relaxable(spec, blocks_of(spec)) == set()
