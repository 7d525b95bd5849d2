import pytest

from wsp.reasons import kind_of, meaning_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("output", "output"),
        ("no rule for aten.sort.default at net.py:3", "no rule for aten.sort.default at net.py:3"),
        ("view [256, 115] -> [256, 5, 23]: [(fixed:4 x [atom1154:23@0:23])@0:96] has a part", "misfit in view"),
        ("add: 3 and 5 indices meet", "misfit in add"),
        ("scatter: numbers repeat", "scatter: numbers repeat"),
    ],
)
def test_misfits_are_one_kind_per_operator(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


@pytest.mark.parametrize("kind", ["input", "spatial", "misfit in view", "no rule for aten.sort.default", "cumsum"])
def test_common_reasons_are_explained(kind: str) -> None:
    assert len(meaning_of(kind).split()) > 3


def test_what_explains_itself_gets_no_further_words() -> None:
    assert meaning_of("equal entries are taken in their order") == ""
