from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.freedoms.networks import cnn, convolutions, gated, resnet20, with_weights
from tests.align.networks import llama
from weightspace.align.freedoms.sign_layout import LARGEST_CUT, _order, sign_layouts
from weightspace.align.freedoms.sign_places import Acting
from weightspace.symmetry.block import Block


def acting(pairs: set[tuple[int, int]], names: int) -> dict[str, Acting]:
    """Freedoms each with a block of its own, and with one block for every coupled pair."""
    found: dict[str, Acting] = {str(name): {Block(str(name), (), ()): (0,)} for name in range(names)}
    for pair in pairs:
        block = Block(str(pair), (), ())
        for name in pair:
            found[str(name)][block] = (0,)
    return found


@given(st.sets(st.sampled_from(list(itertools.combinations(range(7), 2)))))
def test_leaves_are_not_coupled_and_nothing_is_left_out_without_need(pairs: set[tuple[int, int]]):
    cut, leaves = _order(acting(pairs, 7))
    assert not set(cut) & set(leaves)
    assert len(cut) <= LARGEST_CUT
    assert not any({str(x), str(y)} <= set(leaves) for x, y in pairs)
    if len(cut) < LARGEST_CUT:
        assert len(cut) + len(leaves) == 7


def test_the_centre_of_a_star_is_the_cut():
    cut, leaves = _order(acting({(0, other) for other in range(1, 7)}, 7))
    assert cut == ("0",)
    assert leaves == tuple("123456")


def test_of_freedoms_that_are_all_coupled_one_more_than_the_cut_is_decided():
    cut, leaves = _order(acting(set(itertools.combinations(range(6), 2)), 6))
    assert len(cut) == LARGEST_CUT
    assert len(leaves) == 1


@pytest.mark.parametrize("build", [convolutions, gated, cnn, resnet20])
def test_no_sign_of_a_small_network_is_left_out(build):
    spec, _ = with_weights(build, 0)
    decided = {name for layout in sign_layouts(spec).values() for name in layout.freedoms}
    assert decided == {freedom.name for freedom in spec.freedoms.only("sign").all}


def test_signs_of_nested_groups_are_left_out():
    pytest.importorskip("transformers")
    spec, _ = with_weights(llama, 0)
    nested = {group.name for group in spec.groups if group.depends_on}
    nested |= {outer for group in spec.groups for outer in group.depends_on}
    assert nested
    assert not nested & set(sign_layouts(spec))
