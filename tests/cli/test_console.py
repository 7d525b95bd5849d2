import io
import json
import sys

import pytest

from wsp import console as module
from wsp.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def streams(monkeypatch):
    def streams(*, terminal: bool) -> tuple[io.StringIO, io.StringIO]:
        kind = Terminal if terminal else io.StringIO
        monkeypatch.setattr(sys, "stdout", kind())
        monkeypatch.setattr(sys, "stderr", kind())
        return sys.stdout, sys.stderr  # pyright: ignore

    return streams


def test_people_get_tables_and_notes_apart(streams) -> None:
    out, err = streams(terminal=False)
    console = Console()
    with console.owning_stdout():
        print("from elsewhere")  # noqa: T201
        console.note("a\nnote")
        assert "a note" not in err.getvalue()
        console.table(("name", "#size"), [("x[0]", "3")], title="[title]")
        console.document({"never": "shown"})
    assert "x[0]" in out.getvalue()
    assert "[title]" in out.getvalue()
    assert "elsewhere" not in out.getvalue()
    assert "never" not in out.getvalue()
    assert err.getvalue() == "from elsewhere\nnote: a note\n"
    assert console.notes == ["a\nnote"]


def test_notes_are_not_held_back_where_someone_watches(streams) -> None:
    _, err = streams(terminal=True)
    console = Console()
    with console.owning_stdout():
        console.warn("now")
        assert err.getvalue() == "warning: now\n"
    assert err.getvalue() == "warning: now\n"


def test_after_a_failure_notes_stay_unsaid(streams) -> None:
    _, err = streams(terminal=False)
    console = Console()
    console.note("said nowhere")
    with pytest.raises(ValueError, match="x"), console.owning_stdout():
        raise ValueError("x")
    assert err.getvalue() == ""


def test_a_document_is_json_whatever_the_numbers(streams) -> None:
    out, _ = streams(terminal=False)
    console = Console(as_json=True)
    console.line("not shown")
    console.table(("a",), [("b",)])
    console.document({"nan": float("nan"), "deep": [{"inf": float("inf")}, (1, 2.5)], "text": "x", "none": None})
    expected = {"nan": None, "deep": [{"inf": None}, [1, 2.5]], "text": "x", "none": None}
    assert json.loads(out.getvalue()) == expected


def test_quiet_is_silent(streams) -> None:
    out, err = streams(terminal=True)
    console = Console(quiet=True)
    with console.owning_stdout(), console.progress("working") as step:
        step(1, 2)
        console.note("n")
        console.line("l")
    assert out.getvalue() == err.getvalue() == ""


def test_progress_is_a_bar_at_a_terminal_and_lines_elsewhere(streams, monkeypatch) -> None:
    out, err = streams(terminal=True)
    with Console().progress("working") as step:
        step(1, 2, "hard")
    assert "working, hard" in err.getvalue()
    assert out.getvalue() == ""
    out, err = streams(terminal=False)
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with Console().progress("working") as step:
        step(1, 3)
        step(2, 3, "hard")
        step(3, 3)
    assert err.getvalue() == "working, hard: 2 of 3\n"
    assert out.getvalue() == ""
