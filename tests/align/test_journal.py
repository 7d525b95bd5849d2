"""A search that was killed goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.align.oracle import State, grouped_queries_spec, mlp_spec, random_state
from weightspace.align import Alignment, align
from weightspace.align.journal import Journal
from weightspace.errors import AlignmentError
from weightspace.symmetry import Spec


class Killed(BaseException):
    """In place of a signal."""


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("weightspace.align.search.STRETCH", 2000)


def networks(spec: Spec) -> tuple[State, State]:
    return random_state(spec, 0), random_state(spec, 1)


def interrupted(path: Path, spec: Spec, notes: int) -> bool:
    """Runs an alignment that dies after so many notes; says whether it did."""
    write = Journal.write

    def dying(self: Journal, *args):
        nonlocal notes
        write(self, *args)
        notes -= 1
        if notes == 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "write", dying)
        try:
            align(*networks(spec), spec, restarts=5, seed=3, journal=path)
        except Killed:
            return True
    return False


def files(tmp_path: Path, results: list[Alignment]) -> list[bytes]:
    found = []
    for number, result in enumerate(results):
        path = tmp_path / f"{number}.alignment"
        object.__setattr__(result, "seconds", 0.0)
        result.save(path)
        found.append(path.read_bytes())
    return found


@pytest.mark.parametrize("spec", [mlp_spec(first=8, second=9), grouped_queries_spec()], ids=["mlp", "heads"])
def test_going_on_gives_the_same_bytes(spec: Spec, tmp_path: Path):
    journal = tmp_path / "search"
    whole = align(*networks(spec), spec, restarts=5, seed=3)
    deaths = 0
    for notes in (1, 2, 3, 5, 8):
        while interrupted(journal, spec, notes):
            deaths += 1
            assert journal.exists()
            if deaths > 300:
                break
            notes += 1  # it may die where it just went on
        assert not journal.exists()
    assert deaths > 4
    assert interrupted(journal, spec, 4)
    resumed = align(*networks(spec), spec, restarts=5, seed=3, journal=journal)
    assert len(set(files(tmp_path, [whole, resumed]))) == 1
    assert not journal.exists()


def test_a_journal_of_another_search_is_refused(tmp_path: Path):
    spec, journal = mlp_spec(first=8, second=9), tmp_path / "search"
    a, b = networks(spec)
    assert interrupted(journal, spec, 2)
    before = journal.read_bytes()
    others = {
        "weights": (a, {name: tensor + 1 for name, tensor in b.items()}, {}),
        "seed": (a, b, {"seed": 4}),
        "restarts": (a, b, {"restarts": 6}),
        "method": (a, b, {"method": "git-rebasin"}),
        "memory": (a, b, {"memory": 5}),
    }
    for left, right, change in others.values():
        with pytest.raises(AlignmentError, match="expected the journal of this search, found that of other weights"):
            align(left, right, spec, **{"restarts": 5, "seed": 3, "journal": journal, **change})
    assert journal.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no journal", torch.arange(100).numpy().tobytes()])
def test_a_file_that_is_no_journal_is_refused_and_kept(content: bytes, tmp_path: Path):
    spec, journal = mlp_spec(), tmp_path / "search"
    journal.write_bytes(content)
    with pytest.raises(AlignmentError, match="expected the journal of a search that wsp wrote"):
        align(*networks(spec), spec, journal=journal)
    assert journal.read_bytes() == content
