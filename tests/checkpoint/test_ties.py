import pytest
import torch

from weightspace.checkpoint.ties import find_ties, join_ties
from weightspace.errors import OutputError


def test_only_the_same_view_is_a_tie():
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base, "rows": base[:2], "transposed": base.t(), "b": base.view(3, 4), "equal": base.clone()}
    assert find_ties(tensors) == {"b": "a"}


def test_the_same_bytes_as_another_type_are_no_tie():
    base = torch.zeros(4)
    assert find_ties({"a": base, "b": base.view(torch.int32)}) == {}


def test_empty_and_meta_tensors_are_never_tied():
    assert find_ties({"a": torch.zeros(0), "b": torch.zeros(0)}) == {}
    assert find_ties({"a": torch.zeros(2, device="meta"), "b": torch.zeros(2, device="meta")}) == {}


@pytest.mark.parametrize(
    ("declared", "found", "joined"),
    [
        ({}, {"b": "a"}, {"b": "a"}),
        ({"c": "b"}, {"b": "a"}, {"b": "b", "c": "b", "a": "b"}),
        ({"a": "b"}, {"b": "a"}, {"a": "b"}),
        ({"c": "b", "b": "a"}, {}, {"b": "a", "c": "a"}),
        ({"a": "a"}, {}, {}),
    ],
)
def test_joined_ties_point_to_names_that_are_stored(declared, found, joined):
    assert join_ties(declared, found) == {alias: name for alias, name in joined.items() if alias != name}


def test_a_circle_is_an_error():
    with pytest.raises(OutputError, match="circle"):
        join_ties({"a": "b", "b": "a"}, {})
