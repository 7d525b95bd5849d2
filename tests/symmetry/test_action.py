"""The action of group elements: against a slow oracle, and the laws of a group action."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.symmetry.oracle import AXES, GROUPS, HEADS, concatenated, leaf, slow_action
from weightspace.errors import SpecError
from weightspace.symmetry.axis import FixedAxis, GroupAxis
from weightspace.symmetry.element import Element
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec, TensorSpec

SEEDS = st.integers(0, 2**31)


def spec_of(*axes) -> Spec:
    return Spec(GROUPS, {"w": TensorSpec(tuple(axes))}, {"tied": "w"})


def element_of(spec: Spec, seed: int) -> Element:
    return spec.random_element(torch.Generator().manual_seed(seed))


def numbered(spec: Spec) -> torch.Tensor:
    shape = spec.tensors["w"].shape
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


@settings(deadline=None, max_examples=60)
@given(st.lists(AXES, min_size=1, max_size=2), SEEDS)
def test_action_equals_the_slow_oracle(axes, seed):
    # Each axis holds its own outer index here; across axes see the experts below.
    spec = spec_of(*axes)
    element = element_of(spec, seed)
    assert torch.equal(spec.apply_tensor(element, "w", numbered(spec)), slow_action(spec, element, "w", numbered(spec)))


@settings(deadline=None, max_examples=40)
@given(st.lists(AXES, min_size=1, max_size=2), SEEDS, SEEDS)
def test_composition_and_inverse(axes, first_seed, second_seed):
    spec = spec_of(*axes)
    first, second, w = element_of(spec, first_seed), element_of(spec, second_seed), numbered(spec)
    in_turn = spec.apply_tensor(second, "w", spec.apply_tensor(first, "w", w))
    assert torch.equal(spec.apply_tensor(first.then(second), "w", w), in_turn)
    assert first.then(first.inverse()).is_identity()
    assert first.inverse().then(first).is_identity()
    assert torch.equal(spec.apply_tensor(first.inverse(), "w", spec.apply_tensor(first, "w", w)), w)
    assert torch.equal(spec.apply_tensor(spec.identity(), "w", w), w)


@settings(deadline=None, max_examples=20)
@given(SEEDS, SEEDS)
def test_an_inner_group_whose_outer_group_lies_on_another_axis(first_seed, second_seed):
    # Expert weights (experts, in, hidden): the hidden units of every expert move independently.
    spec = spec_of(leaf("heads"), leaf("units"), leaf("inner"))
    first, second, w = element_of(spec, first_seed), element_of(spec, second_seed), numbered(spec)
    assert torch.equal(spec.apply_tensor(first, "w", w), slow_action(spec, first, "w", w))
    in_turn = spec.apply_tensor(second, "w", spec.apply_tensor(first, "w", w))
    assert torch.equal(spec.apply_tensor(first.then(second), "w", w), in_turn)


@settings(deadline=None, max_examples=20)
@given(st.lists(AXES, min_size=1, max_size=3), SEEDS)
def test_blocks_partition_the_tensor_and_read_what_they_write(axes, seed):
    spec = spec_of(*axes)
    w = torch.rand(spec.tensors["w"].shape, generator=torch.Generator().manual_seed(seed))
    rebuilt = torch.full_like(w, torch.nan)
    for block in spec.blocks["w"]:
        assert bool(torch.isnan(block.read(rebuilt)).all())
        block.write(rebuilt, block.read(w))
    assert torch.equal(rebuilt, w)


@settings(deadline=None, max_examples=20)
@given(st.lists(AXES, min_size=1, max_size=2), SEEDS)
def test_json_round_trip_keeps_the_hash_and_the_action(axes, seed):
    spec = spec_of(*axes)
    again = Spec.from_json(spec.to_json())
    element = element_of(spec, seed)
    assert again.hash == spec.hash
    assert torch.equal(
        again.apply_tensor(element, "w", numbered(spec)), spec.apply_tensor(element, "w", numbered(spec))
    )


def test_gradients_transform_with_the_weights():
    spec = Spec(
        (Group("h", 5),),
        {"w": TensorSpec((GroupAxis("h", 5), FixedAxis(3))), "v": TensorSpec((GroupAxis("h", 5),))},
        {},
    )
    element = spec.random_element(torch.Generator().manual_seed(1))
    x = torch.randn(7, 3, dtype=torch.float64)

    def gradients(weights):
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        loss = (torch.tanh(x @ leaves["w"].T) @ leaves["v"]).square().sum()
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    weights = {"w": torch.randn(5, 3, dtype=torch.float64), "v": torch.randn(5, dtype=torch.float64)}
    expected = spec.apply(element, gradients(weights))
    found = gradients(spec.apply(element, weights))
    assert all(torch.allclose(found[name], expected[name]) for name in weights)


def test_aliases_move_with_their_tensor_and_unknown_names_pass():
    spec = spec_of(leaf("units"))
    element = element_of(spec, 3)
    out = spec.apply(element, {"w": torch.arange(4), "tied": torch.arange(4), "other": torch.arange(2)})
    assert torch.equal(out["w"], out["tied"])
    assert torch.equal(out["w"], element.perm("units"))
    assert torch.equal(out["other"], torch.arange(2))


def test_restrict_and_moved_count_single_groups():
    spec = spec_of(HEADS, leaf("units"))
    element = element_of(spec, 0)
    only = element.restrict(["units"])
    assert set(only.perms) == {"units"}
    assert only.moved("heads") == 0
    assert only.moved("units") == int((element.perm("units") != torch.arange(4)).sum())


@pytest.mark.parametrize(
    ("groups", "axes", "message"),
    [
        ((Group("a", 2), Group("a", 3)), (), "twice"),
        ((Group("a", 2, ("b",)),), (), "does not have"),
        ((Group("a", 2), Group("b", 2, ("a",)), Group("c", 2, ("b",))), (), "must list 'a'"),
        ((Group("a", 2),), (GroupAxis("b", 2),), "does not have"),
        ((Group("a", 2),), (GroupAxis("a", 3),), "expected size 2"),
        ((Group("a", 2), Group("b", 2, ("a",))), (GroupAxis("b", 2),), "found 0"),
    ],
)
def test_specs_that_do_not_fit_are_refused(groups, axes, message):
    with pytest.raises(SpecError, match=message):
        Spec(groups, {"w": TensorSpec(axes)}, {})


def test_elements_that_do_not_fit_are_refused():
    groups = (Group("a", 3),)
    with pytest.raises(SpecError, match="not a permutation"):
        Element(groups, {"a": torch.tensor([0, 0, 2])})
    with pytest.raises(SpecError, match="expects int64 of shape"):
        Element(groups, {"a": torch.tensor([0, 1])})
    with pytest.raises(SpecError, match="not a movable group"):
        Element(groups, {"b": torch.tensor([0, 1])})
    spec = spec_of(leaf("units"))
    with pytest.raises(SpecError, match="another spec"):
        spec.apply(Element.identity(groups), {})
    with pytest.raises(SpecError, match="expects shape"):
        spec.apply(spec.identity(), {"w": torch.zeros(3)})


def test_save_and_load(tmp_path):
    spec = spec_of(concatenated(HEADS, leaf("units")), FixedAxis(2, "output"))
    spec.save(tmp_path / "spec.json")
    assert Spec.load(tmp_path / "spec.json").hash == spec.hash
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(SpecError, match=r"bad\.json"):
        Spec.load(tmp_path / "bad.json")
