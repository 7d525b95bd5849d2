"""The shares of what is frozen, against counting every entry of small tensors."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from weightspace.symmetry import Group, Spec, TensorSpec
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis
from weightspace.symmetry.frozen import FrozenShare, frozen_shares
from weightspace.symmetry.label import Fixed, Product, resolve, side_by_side

GROUPS = (Group("moves", 3), Group("stays", 2, kinds=()))
LEAVES = st.one_of(
    st.just(GroupAxis("moves", 3)),
    st.just(GroupAxis("stays", 2)),
    st.builds(FixedAxis, st.integers(1, 3), st.sampled_from(["input", "spatial", "ordered", "spatial; input"])),
)


def summed(parts: list[Axis]) -> Axis:
    return SumAxis(tuple(parts), tuple(Run(number, 0, part.size) for number, part in enumerate(parts)))


AXES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=2).map(lambda factors: ProductAxis(tuple(factors))),
        st.lists(inner, min_size=2, max_size=3).map(summed),
    ),
    max_leaves=4,
)
TENSORS = st.builds(
    TensorSpec, st.lists(AXES, min_size=1, max_size=2).map(tuple), st.sampled_from(["parameter", "buffer"])
)


def words(axis: Axis) -> list[set[str]]:
    """For every index of an axis what acts on it: names of groups, and reasons."""
    match axis:
        case GroupAxis(group, size):
            return [{"ordered"} if group == "stays" else {"moves!"} for _ in range(size)]
        case FixedAxis(size, reason):
            return [set(reason.split("; ")) if size > 1 else set() for _ in range(size)]
        case ProductAxis(factors):
            return [set().union(*chosen) for chosen in itertools.product(*map(words, factors))]
        case SumAxis(parts, _):
            return [word for part in parts for word in words(part)]


@given(st.lists(TENSORS, min_size=1, max_size=2))
def test_shares_are_what_counting_gives(tensors: list[TensorSpec]):
    spec = Spec(GROUPS, {f"t{number}": tensor for number, tensor in enumerate(tensors)}, {})
    entries = [
        set().union(*chosen)
        for tensor in tensors
        if tensor.kind == "parameter"
        for chosen in itertools.product(*map(words, tensor.axes))
    ]
    shares = frozen_shares(spec)
    assert {axis for share in shares for axis in share.axes} == set(spec.frozen)
    for share in shares:
        on = [entry for entry in entries if share.reason in entry]
        assert share.parameters == len(on)
        assert share.unmoved == sum("moves!" not in entry for entry in on)
    assert [share.parameters for share in shares] == sorted((share.parameters for share in shares), reverse=True)


def test_neighbours_that_are_one_stretch_keep_all_reasons():
    one, many = Fixed(1, "single"), Fixed(4, "spatial")
    merged = [resolve(side_by_side([one, many, one])), resolve(Product([many, many, Fixed(2, "input")]))]
    assert [str(label) for label in merged] == ["fixed:6", "fixed:32"]
    assert [label.reason for label in merged if isinstance(label, Fixed)] == ["single; spatial", "spatial; input"]


def test_a_stretch_counts_for_each_of_its_reasons_once():
    spec = Spec((), {"w": TensorSpec((FixedAxis(4, "view: a; view: b; spatial"),))}, {})
    shares = frozen_shares(spec, lambda reason: reason.partition(":")[0])
    assert [(share.reason, share.axes, share.parameters) for share in shares] == [
        ("spatial", spec.frozen, 4),
        ("view", spec.frozen, 4),
    ]


def test_kinds_of_reasons_are_counted_as_one():
    axes = (FixedAxis(4, "view: a"), FixedAxis(5, "view: b"))
    spec = Spec((), {"w": TensorSpec(axes)}, {})
    assert [(share.reason, share.parameters) for share in frozen_shares(spec)] == [("view: a", 20), ("view: b", 20)]
    (share,) = frozen_shares(spec, lambda reason: reason.partition(":")[0])
    assert share == FrozenShare("view", spec.frozen, 20, 20)
    assert share.to_json() == {"reason": "view", "axes": 2, "parameters": 20, "unmoved": 20}
    assert replace(share, axes=()).to_json()["axes"] == 0
