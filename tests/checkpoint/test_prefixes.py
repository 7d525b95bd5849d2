from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace.checkpoint.prefixes import WRAPPERS, strip_wrappers
from weightspace.errors import CheckpointFormatError

PATH = Path("run.pt")


@pytest.mark.parametrize(
    ("stored", "normalised"),
    [
        ("module.conv.weight", "conv.weight"),
        ("_orig_mod.module.conv.weight", "conv.weight"),
        ("module.module.conv.weight", "conv.weight"),
        ("encoder.module._orig_mod.weight", "encoder.weight"),
        ("encoder._fsdp_wrapped_module.weight", "encoder.weight"),
        ("my_module.weight", "my_module.weight"),
        ("submodule.module_list.weight", "submodule.module_list.weight"),
        ("block.module", "block.module"),
        ("weight", "weight"),
    ],
)
def test_whole_components_before_the_last_are_removed(stored, normalised):
    assert strip_wrappers([stored], PATH)[0] == {normalised: stored}


def test_each_wrapper_is_reported_with_the_number_of_names():
    notes = strip_wrappers(["module.a", "module._orig_mod.b", "c"], PATH)[1]
    assert notes == ("stripped 'module.' from 2 names", "stripped '_orig_mod.' from 1 name")


def test_a_collision_is_an_error():
    with pytest.raises(
        CheckpointFormatError, match=r"run\.pt: .*'w' without wrapper prefixes, found 'w' and 'module\.w'"
    ):
        strip_wrappers(["w", "module.w"], PATH)


names = st.lists(st.sampled_from([*WRAPPERS, "conv", "0", "weight"]), min_size=1, max_size=5).map(".".join)


@given(names)
def test_stripping_twice_changes_nothing(name):
    once = next(iter(strip_wrappers([name], PATH)[0]))
    again, notes = strip_wrappers([once], PATH)
    assert again == {once: once}
    assert notes == ()


@given(names)
def test_what_is_left_is_the_name_without_wrappers_in_order(name):
    (stripped,) = strip_wrappers([name], PATH)[0]
    oracle = [part for place, part in enumerate(name.split(".")) if part not in WRAPPERS or place == name.count(".")]
    assert stripped.split(".") == oracle
