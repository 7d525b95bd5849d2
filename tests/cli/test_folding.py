import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace.symmetry import Group, Spec, TensorSpec
from weightspace.symmetry.acting import acting_groups
from weightspace.symmetry.axis import Axis, GroupAxis, ProductAxis
from wsp.folding import boxes, fold, number_set


@given(st.integers(0, 3).flatmap(lambda n: st.sets(st.tuples(*[st.integers(0, 3)] * n), min_size=1)))
def test_boxes_hold_every_point_once(points: set[tuple[int, ...]]) -> None:
    found = [point for box in boxes(points) for point in itertools.product(*box)]
    assert sorted(found) == sorted(points)


def test_a_product_of_sets_is_one_box() -> None:
    assert boxes(itertools.product((0, 2), (1,), (3, 4, 5))) == [[(0, 2), (1,), (3, 4, 5)]]


@pytest.mark.parametrize(
    ("numbers", "written"),
    [((3,), "3"), ((0, 1), "{0,1}"), ((0, 1, 2), "{0..2}"), ((0, 1, 2, 5, 7, 8), "{0..2,5,7,8}"), ((10, 2), "{10,2}")],
)
def test_sets_of_numbers(numbers: tuple[int, ...], written: str) -> None:
    assert number_set(numbers) == written


def transformer(layers: int) -> Spec:
    """Layers whose attention heads have an inner group each; the last layer is wider."""
    groups, tensors = [Group("embed", 8)], {"embed.weight": TensorSpec((GroupAxis("embed", 8),))}
    for number in range(layers):
        name, width = f"layers.{number}.attn.qkv", 16 if number == layers - 1 else 4
        groups += [Group(name, 2), Group(f"{name}#2", width, (name,))]
        axes: tuple[Axis, ...] = (
            ProductAxis((GroupAxis(name, 2), GroupAxis(f"{name}#2", width))),
            GroupAxis("embed", 8),
        )
        tensors[f"{name}.weight"] = TensorSpec(axes)
    return Spec(tuple(groups), tensors, {})


def test_layers_of_equal_groups_are_one_row() -> None:
    spec = transformer(6)
    folds = fold(acting_groups(spec), longest=5)
    assert [each.name for each in folds] == [
        "embed", "layers.{0..5}.attn.qkv", "layers.{0..4}.attn.qkv#2", "layers.5.attn.qkv#2",
    ]  # fmt: skip
    assert [len(each.groups) for each in folds] == [1, 6, 5, 1]
    assert sorted(acting.group.name for each in folds for acting in each.groups) == sorted(g.name for g in spec.groups)
    assert folds[2].axes == ("layers.*.attn.qkv.weight[0]",)
    assert folds[2].depends_on == ("layers.*.attn.qkv",)
    assert folds[3].axes == ("layers.5.attn.qkv.weight[0]",)
    assert folds[3].depends_on == ("layers.5.attn.qkv",)
    assert {acting.group.size for acting in folds[2].groups} == {4}


def test_the_module_of_a_group_is_not_told_again() -> None:
    folds = fold(acting_groups(transformer(6)), longest=5)
    assert folds[2].without_folder(folds[2].axes) == ["…qkv.weight[0]"]
    assert folds[3].without_folder([*folds[3].depends_on, "layers.5.mlp", "layers.5.attn"]) == [
        "…qkv", "layers.5.mlp", "layers.5.attn",
    ]  # fmt: skip
    assert folds[0].without_folder(["embed.weight"]) == ["embed.weight"]


def test_few_groups_stay_apart() -> None:
    spec = transformer(2)
    assert [each.name for each in fold(acting_groups(spec), longest=5)] == [group.name for group in spec.groups]
    assert all(len(each.groups) == 1 for each in fold(acting_groups(spec), longest=5))
