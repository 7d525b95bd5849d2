"""Choices: where a place tells which index of an absent axis it belongs to."""

import pytest

from weightspace.symmetry.choice import Choice, Mark, with_choices, within
from weightspace.symmetry.label import Atom, Fixed, Label, Product, Uniform, side_by_side

EXPERTS, TOKENS, RANKS, UNITS = Atom(3), Atom(5, frozen="input"), Atom(2, frozen="rank"), Atom(4)
FLAT = Product((TOKENS, RANKS))
CUT = side_by_side([Fixed(1, "single"), Atom(4, frozen="input")])


def mark(*places: Label, origin: int = 1, axis: Label = EXPERTS, others: tuple[list[Label], ...] = ()) -> Mark:
    return Mark(Choice(origin, axis, places), others)


@pytest.mark.parametrize(
    ("labels", "marks"),
    [
        ([TOKENS, UNITS], [mark(TOKENS)]),
        ([FLAT, UNITS], [mark(TOKENS, RANKS)]),
        ([RANKS, UNITS, TOKENS], [mark(FLAT)]),
        ([TOKENS, UNITS], [mark(TOKENS, Uniform(7))]),
        ([CUT, UNITS], [mark(CUT)]),
        ([TOKENS, UNITS], [mark(TOKENS, others=([UNITS],))]),
        ([TOKENS, UNITS], [mark(TOKENS), mark(TOKENS, origin=2, axis=Atom(3))]),
    ],
    ids=["tokens", "flattened", "apart", "beside copies", "cut", "beside another operand", "of two axes"],
)
def test_places_that_are_dimensions_know_what_was_chosen(labels: list[Label], marks: list[Mark]):
    assert with_choices(labels, tuple(marks)) == [*labels, *(found.choice.label for found in marks)]


@pytest.mark.parametrize(
    ("labels", "marks"),
    [
        ([UNITS], [mark(TOKENS)]),
        ([TOKENS, UNITS], [mark(TOKENS, RANKS)]),
        ([TOKENS, TOKENS, UNITS], [mark(TOKENS)]),
        ([Fixed(5, "input"), UNITS], [mark(Fixed(5, "input"))]),
        ([TOKENS, EXPERTS, UNITS], [mark(TOKENS)]),
        ([TOKENS, UNITS], [mark(TOKENS), mark(TOKENS, origin=2)]),
        ([TOKENS, UNITS], [mark(TOKENS, others=([EXPERTS, UNITS],))]),
    ],
    ids=["summed over", "half of them", "twice", "not recognisable", "beside the axis", "two choices", "mixed"],
)
def test_other_places_do_not(labels: list[Label], marks: list[Mark]):
    assert with_choices(labels, tuple(marks)) == labels


def test_a_choice_is_dropped_with_its_places():
    assert within([TOKENS, UNITS], (mark(TOKENS), mark(TOKENS, RANKS, origin=2))) == (mark(TOKENS),)
