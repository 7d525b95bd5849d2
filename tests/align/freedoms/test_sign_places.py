"""Where signs act, against entries that a transformation was seen to change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.align.freedoms.networks import NETWORKS, with_weights
from tests.align.networks import gpt2, llama
from tests.symmetry.oracle import concatenated
from weightspace.align.freedoms.sign_places import odd_places
from weightspace.symmetry import Spec, Transformation
from weightspace.symmetry.axis import FixedAxis, GroupAxis, SumAxis
from weightspace.symmetry.freedom.freedom import Freedom, Freedoms, Place
from weightspace.symmetry.freedom.values import along
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import TensorSpec

BUILDERS = {**NETWORKS, "llama": llama, "gpt2": gpt2}


@pytest.mark.parametrize("name", BUILDERS)
def test_blocks_change_as_their_tensors_do(name: str):
    if name in ("llama", "gpt2"):
        pytest.importorskip("transformers")
    spec, state = with_weights(BUILDERS[name], 0)
    plain = {group.name for group in spec.groups if not group.depends_on}
    chosen = [freedom for freedom in spec.freedoms.only("sign").all if freedom.group in plain]
    assert chosen
    for freedom in chosen:
        acting = odd_places(spec, freedom)
        assert acting
        flips = Transformation.random(spec, torch.Generator().manual_seed(1), ("sign",)).restrict([freedom.name])
        changed, signs = flips.apply(state), flips.values[freedom.name]
        for block in (block for name in spec.tensors for block in spec.blocks[name]):
            expected = block.read(state[block.tensor])
            for dim in acting.get(block, ()):
                expected = expected * along(signs.to(expected), (dim,), expected.dim())
            assert torch.equal(block.read(changed[block.tensor]), expected)


def cut(*lengths: int) -> SumAxis:
    """A fixed axis in several parts, in order."""
    return concatenated(*(FixedAxis(length, "test") for length in lengths))


def spec_with(ours: tuple, theirs: tuple, places: tuple[Place, ...]) -> tuple[Spec, Freedom]:
    """A spec and a freedom whose axes of the only tensor are given."""
    group = Group("g", 3)
    freedom = Freedom("g:sign", "sign", "g", places)
    return Spec((group,), {"w": TensorSpec(ours)}, {}, freedoms=Freedoms((group,), {"w": theirs}, (freedom,))), freedom


def test_blocks_of_the_freedoms_may_be_smaller_if_together_they_are_whole():
    g, whole = GroupAxis("g", 3), FixedAxis(5, "test")
    spec, freedom = spec_with((g, whole), (g, cut(2, 3)), (Place("w", 0, 0), Place("w", 1, 0)))
    assert odd_places(spec, freedom) == {spec.blocks["w"][0]: (0,)}
    assert odd_places(spec, replace(freedom, places=freedom.places[:1])) is None
    assert odd_places(spec, replace(freedom, places=(freedom.places[0], Place("w", 1, 0, 2)))) is None


def test_blocks_of_the_freedoms_may_be_larger():
    g, whole = GroupAxis("g", 3), FixedAxis(5, "test")
    spec, freedom = spec_with((g, cut(2, 3)), (g, whole), (Place("w", 0, 0),))
    assert odd_places(spec, freedom) == dict.fromkeys(spec.blocks["w"], (0,))


def test_even_powers_change_no_sign():
    g = GroupAxis("g", 3)
    spec, freedom = spec_with((g,), (g,), (Place("w", 0, 0, 2),))
    assert odd_places(spec, freedom) == {}


def test_other_units_along_the_axis_do_not_correspond():
    g = GroupAxis("g", 3)
    one = FixedAxis(1, "test")
    spec, freedom = spec_with((concatenated(g, one),), (concatenated(one, g),), (Place("w", 1, 0),))
    assert odd_places(spec, freedom) is None
